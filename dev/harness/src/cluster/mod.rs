//! A Kubernetes cluster of one node, on which images of [`containers`](crate::containers) run.
//!
//! `script/cluster run` provides the node, with an engine and a builder beside it, and removes all
//! of it at the end.

mod kubectl;
mod namespace;
mod node;

pub use namespace::Namespace;
pub use node::{edge, import, in_node};
