//! The exec.d program; all of it is in the `backplane-launch` crate.
#![expect(
    unused_crate_dependencies,
    reason = "the lint looks at each target alone, and the other dependencies are the build program's"
)]

fn main() -> std::process::ExitCode {
    backplane_launch::main()
}
