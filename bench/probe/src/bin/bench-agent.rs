//! The agent; all of it is in the library.

fn main() -> std::io::Result<()> {
    backplane_bench_probe::agent()
}
