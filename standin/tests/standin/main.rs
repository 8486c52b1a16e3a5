//! The stand-in's programs, as one sees them from outside: real processes and real sockets, on loopback.
#![expect(
    clippy::unwrap_used,
    reason = "clippy.toml allows it in tests, which clippy takes for the test functions alone"
)]
#![expect(
    unused_crate_dependencies,
    reason = "the lint looks at each target alone, and the other dependencies are the library's"
)]

mod apps;
mod drain;
mod hangups;
mod misbehaving_app;
mod retry;
mod routing;
mod streaming;
mod support;
mod tokens;
