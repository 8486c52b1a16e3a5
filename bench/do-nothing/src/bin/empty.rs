//! An exec.d program that does nothing, built as the Backplane buildpack's is: neither its size nor what it adds to a boot can be
//! any less.
#![expect(
    unused_crate_dependencies,
    reason = "the lint looks at each target alone, and the dependencies are the buildpack's"
)]

fn main() {}
