//! An exec.d program that does nothing, built as the Backplane buildpack's is: neither its size nor what it adds to a boot can be
//! any less.

fn main() {}
