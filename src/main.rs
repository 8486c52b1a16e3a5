//! The build program: detect and build, by the name that the lifecycle calls it by.
#![expect(
    unused_crate_dependencies,
    reason = "the lint looks at each target alone, and the dependencies are the library's"
)]

fn main() {
    backplane_buildpack::main();
}
