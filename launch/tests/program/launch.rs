//! The launch program, as the tests of this crate run it.
#![expect(
    unused_crate_dependencies,
    reason = "the lint looks at each target alone, and the dependencies are the library's"
)]

fn main() -> std::process::ExitCode {
    backplane_launch::main()
}
