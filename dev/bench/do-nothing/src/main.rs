//! A buildpack that does nothing, by the same library as the Backplane buildpack: what a build takes with it is the
//! floor that no buildpack gets below.

use std::convert::Infallible;

use libcnb::build::{BuildContext, BuildResult, BuildResultBuilder};
use libcnb::detect::{DetectContext, DetectResult, DetectResultBuilder};
use libcnb::generic::{GenericMetadata, GenericPlatform};
use libcnb::{Buildpack, libcnb_runtime};

struct DoNothing;

impl Buildpack for DoNothing {
    type Platform = GenericPlatform;
    type Metadata = GenericMetadata;
    type Error = Infallible;

    fn detect(&self, _context: DetectContext<Self>) -> libcnb::Result<DetectResult, Self::Error> {
        DetectResultBuilder::pass().build()
    }

    fn build(&self, _context: BuildContext<Self>) -> libcnb::Result<BuildResult, Self::Error> {
        BuildResultBuilder::new().build()
    }
}

fn main() {
    libcnb_runtime(&DoNothing);
}
