//! The sample app in a container behind an edge.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use harness::containers::{Container, Image, Run, test_env};
use harness::{Edge, TOKEN};

use crate::fixtures::{ENDPOINT, sample_build};

/// How long an app without requests in flight may take to end: far less than the grace after which
/// it would be killed.
const END: Duration = Duration::from_secs(5);

/// Where `backplane-status` is in an image.
pub(crate) const STATUS: &str = "/layers/backplane_agent/agent/libexec/backplane-status";

/// How long the engine waits between SIGTERM and SIGKILL, in seconds.
pub(crate) const GRACE: u32 = 20;

/// The image of the sample app, shared by all tests; `script/engine` removes it.
pub(crate) fn image() -> &'static Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(|| sample_build().run())
}

/// An edge on the machine itself, without an agent so far.
pub(crate) fn edge() -> Edge {
    let edge = test_env().edge(TOKEN);
    edge.route(TOKEN, ENDPOINT, "some=label");
    assert_eq!(edge.get(ENDPOINT, "/"), 503);
    edge
}

/// A container that has answered through the edge.
pub(crate) struct Served {
    pub(crate) container: Container,
    pub(crate) edge: Edge,
}

impl Served {
    /// The default process of the shared image, with an adjusted run.
    #[track_caller]
    pub(crate) fn start(adjust: impl FnOnce(Run) -> Run) -> Self {
        Self::start_run(|edge| adjust(image().container().connect(edge)))
    }

    /// A run whose agent connects to this edge.
    #[track_caller]
    pub(crate) fn start_run(run: impl FnOnce(&Edge) -> Run) -> Self {
        let edge = edge();
        let container = run(&edge).start();
        container.eventually("an answer", || {
            (edge.get(ENDPOINT, "/") == 200).then_some(())
        });
        Self { container, edge }
    }

    /// Stops the container, and asserts that it ends with status 0 and soon.
    #[track_caller]
    pub(crate) fn assert_stops(&self) {
        let start = Instant::now();
        self.container.stop(GRACE);
        let end = start.elapsed();
        assert_eq!(self.container.wait(), 0, "{}", self.container.stderr());
        assert!(end < END, "{end:?}");
        self.edge.wait_for_status(ENDPOINT, 503);
    }
}
