//! Containers that serve.

use crate::subjects::{ENDPOINT, sample_image};
use crate::support::{Edge, TOKEN, workshop};

#[test]
#[ignore = "tier 3: needs Docker; script/test runs it"]
fn app_on_127_0_0_1_serves_through_the_edge_until_it_is_stopped() {
    let image = sample_image();
    let edge = Edge::start_for_agents_at(workshop().gateway(), TOKEN);
    edge.route(TOKEN, ENDPOINT, "some=label");
    edge.wait_for_status(ENDPOINT, 503);

    let container = image.container().connect(&edge).start();
    edge.wait_for_status(ENDPOINT, 200);
    // The app itself is process 1, and listens where nobody else can reach it.
    assert_eq!(container.stdout(), "listening 127.0.0.1:8080\n");
    assert_eq!(container.processes()[0], "./sample-app");

    container.stop(10);
    assert_eq!(container.wait(), 0, "{}", container.stderr());
    edge.wait_for_status(ENDPOINT, 503);
}
