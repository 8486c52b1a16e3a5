//! The notices of an installation, for the log of a front end.

use std::path::Path;

use super::error::InstallError;
use crate::archive::Files;
use crate::cached_agent::Reason;
use crate::checksum::Checksum;
use crate::fetch::Event;
use crate::redact::Redacted;
use crate::target::Target;

/// Receives the notices of an installation.
pub(crate) type OnNotice<'a> = &'a dyn Fn(Notice<'_>);

/// A step of an installation, or its result.
#[derive(Debug)]
pub(crate) enum Notice<'a> {
    /// Something that is not a directory is replaced by one.
    ReplacingByDirectory(&'a Path),
    /// The cached agent is used without a request.
    UsingPinned(&'a Checksum),
    /// The server reports that the cached agent is current.
    UsingUnchanged,
    /// The download is the cached agent's.
    UsingSameDownload,
    /// The cached agent cannot be used.
    Installing(&'a [Reason]),
    /// The cached agent is not what the user asks for.
    Replacing(&'a Reason),
    /// The source is asked whether it has another agent than the cached one.
    Checking(&'a Redacted),
    Fetching {
        source: &'a Redacted,
        target: &'a Target,
    },
    Fetch(Event<'a>),
    Fetched {
        bytes: u64,
        checksum: &'a Checksum,
        is_pinned: bool,
    },
    /// Links and devices in the archive are not installed.
    LeftOut(&'a [String]),
    Installed(&'a Files),
    /// An agent was installed without a pin.
    Unpinned(&'a Checksum),
    /// An agent that differs from the cached one was installed without a pin.
    Changed {
        from: &'a Checksum,
        to: &'a Checksum,
    },
    /// The cached agent stays, because its source has nothing usable.
    Kept {
        error: &'a InstallError,
        checksum: &'a Checksum,
    },
    /// The build continues without an agent.
    AgentSkipped(&'a InstallError),
}
