//! Errors of an installation.

use std::io;

use crate::archive::{ArchiveError, FileKind};
use crate::checksum::Checksum;
use crate::fetch::FetchError;
use crate::redact::Redacted;
use crate::release::SourceKind;

/// Errors that can occur when an agent is installed.
#[derive(Debug)]
pub(crate) enum InstallError {
    /// The agent cannot be fetched.
    Fetch { source: Redacted, error: FetchError },
    /// The download does not have the pinned checksum.
    Checksum {
        source: Redacted,
        kind: SourceKind,
        mismatch: Box<Mismatch>,
    },
    /// The download contains no agent that can be installed.
    Archive {
        source: Redacted,
        kind: SourceKind,
        error: ArchiveError,
    },
    /// The staging directory cannot be made or removed.
    Staging(io::Error),
    /// The installed files cannot be read or replaced.
    Directory(io::Error),
}

/// The pinned checksum, and the download that does not have it.
#[derive(Debug)]
pub(crate) struct Mismatch {
    pub(crate) expected: Checksum,
    pub(crate) actual: Checksum,
    pub(crate) found: FileKind,
    pub(crate) bytes: u64,
}

impl InstallError {
    /// Whether an optional agent may be skipped: it could not be fetched, and the request for it
    /// does not seem to be wrong.
    pub(super) fn is_about_fetching(&self) -> bool {
        matches!(
            self,
            Self::Fetch {
                error: FetchError::Http(_) | FetchError::ReadSource(_) | FetchError::Empty,
                ..
            }
            // A captive portal, an error page with status 200 or half an archive is a problem of
            // the server.
            | Self::Archive {
                kind: SourceKind::Server,
                error: ArchiveError::NotAnAgent { .. }
                    | ArchiveError::Damaged(_)
                    | ArchiveError::IncompleteProgram(_)
                    | ArchiveError::Unproven,
                ..
            }
        )
    }
}
