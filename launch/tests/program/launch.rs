//! The launch program, as the tests of this crate run it.

fn main() -> std::process::ExitCode {
    backplane_launch::main()
}
