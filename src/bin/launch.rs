//! The exec.d program; all of it is in the `backplane-launch` crate.

fn main() -> std::process::ExitCode {
    backplane_launch::main()
}
