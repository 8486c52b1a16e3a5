//! The build program: detect, build or compile, by the name that the platform calls it by.

fn main() -> std::process::ExitCode {
    backplane_buildpack::main()
}
