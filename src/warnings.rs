//! What users are told in a build that passes all the same.

use indoc::formatdoc;

use crate::checksum::Checksum;
use crate::errors;
use crate::install::InstallError;

/// A new agent came in without a pin.
pub(crate) fn unpinned(checksum: &Checksum) -> String {
    formatdoc! {"
        The agent isn't pinned

        Whatever its source serves is installed. To accept this download and
        no other, and to build without asking the source again, set:

        BACKPLANE_AGENT_SHA256={checksum}
    "}
}

/// Another agent came in than the cached one, without a pin.
pub(crate) fn changed(old: &Checksum, new: &Checksum) -> String {
    formatdoc! {"
        The agent has changed

        Its source now serves another download, and that is installed:

        changed {old} → {new}

        To accept this download and no other, set:

        BACKPLANE_AGENT_SHA256={new}
    "}
}

/// A cached agent stays, because its source could not be asked, or had nothing usable.
pub(crate) fn kept(error: &InstallError, cached: &Checksum) -> String {
    let reason = errors::reason(error);
    formatdoc! {"
        Using the cached agent, as its source can't be used

        {reason}

        The agent of an earlier build stays in use. To build without asking
        the source at all, pin it:

        BACKPLANE_AGENT_SHA256={cached}
    "}
}

/// A build goes on without an agent.
pub(crate) fn going_without(error: &InstallError) -> String {
    let reason = errors::reason(error);
    formatdoc! {"
        There is no Backplane agent in this build

        {reason}

        The build goes on without an agent, since BACKPLANE_AGENT_OPTIONAL is
        set: the app will run, and no request will reach it through Backplane.
        Build again when the source can be reached.
    "}
}

/// A variable has a name that is nearly one of ours.
pub(crate) fn near_miss(name: &str, ours: &str) -> String {
    formatdoc! {"
        '{name}' is not a variable of this buildpack

        It is ignored. If you mean '{ours}', rename it.
    "}
}

/// The app brings something else in the place of the directory of start scripts.
pub(crate) fn start_scripts_replaced() -> String {
    formatdoc! {"
        The app's '.profile.d' is replaced by a directory

        It is a file, or a link that leads out of the app, so that a dyno would
        find no start scripts there. The new directory has the agent's script.
        If the app has start scripts of its own, put them into '.profile.d'.
    "}
}
