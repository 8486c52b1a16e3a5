//! The build program: detect, build or compile, depending on its name. All of it is in the library,
//! because the fuzz targets need one.

fn main() -> std::process::ExitCode {
    backplane_buildpack::main()
}
