//! A container of the sample app is served.

use crate::served_app::{Served, image};

/// Asserts the processes of a container that serves, process 1 first.
#[track_caller]
pub(crate) fn assert_app_supervisor_and_agent(served: &Served) {
    let processes = served.container.processes();
    assert_eq!(processes.len(), 3, "{processes:#?}");
    assert_eq!(processes[0], "./sample-app");
    assert_eq!(
        processes[2],
        "/layers/backplane_agent/agent/libexec/backplane connect some=label http://127.0.0.1:8080"
    );
}

#[test]
fn default_process_serves() {
    let served = Served::start(|run| run);
    assert_app_supervisor_and_agent(&served);
    // It cannot be reached from outside of the container.
    assert_eq!(served.container.stdout(), "listening 127.0.0.1:8080\n");
    served.assert_stops();
}

#[test]
fn process_serves_by_its_name() {
    let served = Served::start_run(|edge| image().process("web").connect(edge));
    assert_app_supervisor_and_agent(&served);
    served.assert_stops();
}
