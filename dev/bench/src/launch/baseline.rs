//! What people write today: an exec.d script in bash.

/// The program that runs it.
pub(super) const BASH: &str = "/bin/bash";

/// From the process type to all that an agent needs.
const FIRST_STEPS: &str = include_str!("first-steps.bash");

/// A script that starts the agent in the background.
pub(super) fn start_once() -> String {
    [FIRST_STEPS, include_str!("start-once.bash")].concat()
}

/// A script that starts it again, a second after each of its ends.
pub(super) fn restart_loop() -> String {
    [FIRST_STEPS, include_str!("restart-loop.bash")].concat()
}
