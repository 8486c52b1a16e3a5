//! The build program: detect, build or compile, depending on its name. All of it is in the library,
//! because the fuzz targets need one.
#![expect(
    unused_crate_dependencies,
    reason = "the lint looks at each target alone, and the dependencies are the library's"
)]

fn main() -> std::process::ExitCode {
    backplane_buildpack::main()
}
