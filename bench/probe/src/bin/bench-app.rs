//! The app; all of it is in the library.
#![expect(
    unused_crate_dependencies,
    reason = "the lint looks at each target alone, and the other dependencies are the library's"
)]

fn main() -> std::io::Result<()> {
    backplane_bench_probe::app()
}
