//! The build program: detect, build or compile, by the name that the platform calls it by.
#![expect(
    unused_crate_dependencies,
    reason = "the lint looks at each target alone, and the dependencies are the library's"
)]

fn main() -> std::process::ExitCode {
    backplane_buildpack::main()
}
