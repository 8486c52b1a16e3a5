//! Variables that cannot be used.

use super::{Closing, ErrorMessage};
use crate::settings::{Setting, SettingProblem, SettingsError};

pub(super) fn message(error: &SettingsError) -> ErrorMessage {
    let SettingsError {
        setting,
        value,
        problem,
    } = error;
    let variable = setting.name();
    let problem = match problem {
        SettingProblem::NotText => {
            "It isn't plain text: it has bytes that aren't UTF-8, or control\n\
             characters such as a tab or a line break. Type it again, instead of\n\
             copying it."
                .to_owned()
        }
        SettingProblem::Quoted => {
            "It begins or ends with a quotation mark. A shell removes them, but a file\n\
             of variables (--env-file) and a form in a browser keep them. Set the\n\
             value without them."
                .to_owned()
        }
        SettingProblem::Malformed => {
            "It doesn't have the form that this variable wants.".to_owned()
        }
        SettingProblem::RepeatedArch(arch) => format!("It has more than one value for {arch}."),
    };
    let (id, wanted) = match setting {
        Setting::AgentUrl => (
            "settings/agent-url",
            "It takes an https:// or file:// URL, or the path of a file in the\n\
             app, for example:\n\n\
             BACKPLANE_AGENT_URL=https://mirror.example.com/backplane-{channel}-{os}-{arch}.tgz",
        ),
        Setting::AgentChannel => (
            "settings/agent-channel",
            "It takes the name of a release channel: letters, digits, dots, dashes\n\
             and underscores, for example:\n\n\
             BACKPLANE_AGENT_CHANNEL=stable",
        ),
        Setting::AgentSha256 => (
            "settings/agent-sha256",
            "It takes the 64 hex digits that sha256sum prints for the download, or\n\
             one such value for each architecture, for example:\n\n\
             BACKPLANE_AGENT_SHA256=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n\
             BACKPLANE_AGENT_SHA256=amd64:e3b0c442…,arm64:9f86d081…",
        ),
        Setting::AgentOptional => (
            "settings/agent-optional",
            "It takes true or false (or 1, yes, on; 0, no, off), for example:\n\n\
             BACKPLANE_AGENT_OPTIONAL=true",
        ),
    };
    ErrorMessage {
        id,
        header: "A variable has a value that can't be used",
        body: format!("{variable} is set to:\n\n{value}\n\n{problem}\n\n{wanted}"),
        details: None,
        closing: Closing::Nothing,
    }
}
