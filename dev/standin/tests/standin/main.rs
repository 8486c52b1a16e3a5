//! The stand-in's programs from outside: real processes and real sockets, on loopback.
#![expect(
    clippy::unwrap_used,
    reason = "clippy.toml allows it in tests, which clippy takes for the test functions alone"
)]

mod apps;
mod drain;
mod hangups;
mod routing;
mod support;
