//! A stand-in for the Backplane edge and agent.
