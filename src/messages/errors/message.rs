//! The form of an error message.

use std::fmt;

/// The page that explains each error, by its anchor.
const ERROR_PAGE: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/errors.md#");

/// What to do if a file cannot be written.
pub(super) const FREE_DISK_SPACE: &str = "Check that the build machine has free disk space.";

/// A message that names what failed, its cause, and what the user can do.
pub(crate) struct ErrorMessage {
    /// Stable, for users who search for it.
    id: &'static str,
    header: &'static str,
    pub(super) body: String,
    /// The error text of the system or of a library.
    details: Option<String>,
    next_step: NextStep,
}

/// How a message ends.
#[derive(Clone, Copy)]
pub(super) enum NextStep {
    /// The body has the advice.
    AsInBody,
    /// The problem may be temporary.
    TryAgain,
    /// The problem is unexpected.
    Report,
}

impl ErrorMessage {
    pub(super) fn new(id: &'static str, header: &'static str, body: impl Into<String>) -> Self {
        Self {
            id,
            header,
            body: body.into(),
            details: None,
            next_step: NextStep::AsInBody,
        }
    }

    pub(super) fn details(self, details: impl fmt::Display) -> Self {
        let details = Some(details.to_string());
        Self { details, ..self }
    }

    /// Ends the message as that of an unexpected error.
    pub(super) fn unexpected(self, details: impl fmt::Display) -> Self {
        self.details(details).then(NextStep::Report)
    }

    pub(super) fn then(self, next_step: NextStep) -> Self {
        Self { next_step, ..self }
    }
}

impl fmt::Display for ErrorMessage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}\n\n{}\n", self.header, self.body.trim_end())?;
        if let Some(details) = &self.details {
            write!(formatter, "\nDetails: {details}\n")?;
        }
        formatter.write_str(match self.next_step {
            NextStep::AsInBody => "",
            NextStep::TryAgain => {
                "\nThe problem may be temporary, so try the build again first. To build\n\
                 without an agent when it can't be fetched, set\n\
                 BACKPLANE_AGENT_OPTIONAL=true.\n"
            }
            NextStep::Report => {
                "\nThis is unexpected: it may be a bug in this buildpack or a problem with\n\
                 the build machine. Try again. If the problem persists, please report it\n\
                 to the buildpack's maintainers and include this log.\n"
            }
        })?;
        let anchor = self.id.replace('/', "-");
        write!(
            formatter,
            "\nError: backplane/{}\n{ERROR_PAGE}{anchor}\n",
            self.id
        )
    }
}
