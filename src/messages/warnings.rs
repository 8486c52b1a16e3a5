//! Warnings of a build that succeeds.

use indoc::formatdoc;

use crate::checksum::Checksum;
use crate::environment::Environment;
use crate::output::Log;
use crate::settings;

/// Warns about names in `environment` that are probably misspelled names of ours.
pub(crate) fn log_near_misses(environment: &Environment, log: &dyn Log) {
    for (name, ours) in settings::near_misses(environment) {
        log.warning(&near_miss(&name, ours));
    }
}

/// A variable's name is close to one of ours.
pub(super) fn near_miss(name: &str, ours: &str) -> String {
    formatdoc! {"
        '{name}' isn't a variable of this buildpack

        It is ignored. If you mean '{ours}', rename it.
    "}
}

/// An agent was installed without a pin.
pub(super) fn unpinned(checksum: &Checksum) -> String {
    formatdoc! {"
        The agent isn't pinned

        The build installs whatever its source serves. To accept only this
        download, and to build without asking the source again, set:

        BACKPLANE_AGENT_SHA256={checksum}
    "}
}

/// An agent that differs from the cached one was installed without a pin.
pub(super) fn changed(old: &Checksum, new: &Checksum) -> String {
    formatdoc! {"
        The agent has changed

        Its source serves another download than before, which is now installed:

        changed {old} → {new}

        To accept only this download, set:

        BACKPLANE_AGENT_SHA256={new}
    "}
}

/// The cached agent stays, for a `reason` in words.
pub(super) fn kept(reason: &str, cached: &Checksum) -> String {
    formatdoc! {"
        Using the cached agent because its source can't be used

        {reason}

        The agent of an earlier build stays in use. To build without asking the
        source at all, pin that agent:

        BACKPLANE_AGENT_SHA256={cached}
    "}
}

/// The build continues without an agent, for a `reason` in words.
pub(super) fn agent_skipped(reason: &str) -> String {
    formatdoc! {"
        There is no Backplane agent in this build

        {reason}

        The build continues without an agent because BACKPLANE_AGENT_OPTIONAL is
        set. The app will run, but no requests will reach it through Backplane.
        Build again when the source is available.
    "}
}

/// Something in the app is replaced by the directory of start scripts.
pub(crate) fn start_scripts_replaced() -> String {
    formatdoc! {"
        The app's '.profile.d' is replaced by a directory

        It is a file, or a link that leads out of the app, so a dyno would find
        no start scripts there. The new directory contains the agent's script. If
        the app has start scripts of its own, put them into '.profile.d'.
    "}
}
