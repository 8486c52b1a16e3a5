//! Variables with invalid values.

use super::message::ErrorMessage;
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
            "It isn't plain text: it contains bytes that aren't UTF-8, or control\n\
             characters such as a tab or a line break. Type it again instead of\n\
             copying it."
                .to_owned()
        }
        SettingProblem::Quoted => {
            "It starts or ends with a quotation mark. A shell removes those, but a\n\
             file of variables (--env-file) and a web form keep them. Set the value\n\
             without them."
                .to_owned()
        }
        SettingProblem::Malformed => {
            "It doesn't have the format that this variable requires.".to_owned()
        }
        SettingProblem::RepeatedArch(arch) => format!("It has more than one value for {arch}."),
    };
    let (id, format) = match setting {
        Setting::Agent => (
            "settings/agent",
            "Set it to the name of an agent, for example:\n\n\
             BACKPLANE_AGENT=frp",
        ),
        Setting::AgentVersion => (
            "settings/agent-version",
            "Set it to a version of the agent: letters, digits, dots, dashes and\n\
             underscores, for example:\n\n\
             BACKPLANE_AGENT_VERSION=0.61.0",
        ),
        Setting::AgentUrl => (
            "settings/agent-url",
            "Set it to an https:// or file:// URL, or to the path of a file in the\n\
             app, for example:\n\n\
             BACKPLANE_AGENT_URL=https://mirror.example.com/backplane-{channel}-{os}-{arch}.tgz",
        ),
        Setting::AgentChannel => (
            "settings/agent-channel",
            "Set it to the name of a release channel: letters, digits, dots, dashes\n\
             and underscores, for example:\n\n\
             BACKPLANE_AGENT_CHANNEL=stable",
        ),
        Setting::AgentSha256 => (
            "settings/agent-sha256",
            "Set it to the 64 hex digits that sha256sum prints for the download, or\n\
             to one such value for each architecture, for example:\n\n\
             BACKPLANE_AGENT_SHA256=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n\
             BACKPLANE_AGENT_SHA256=amd64:e3b0c442…,arm64:9f86d081…",
        ),
        Setting::AgentOptional => (
            "settings/agent-optional",
            "Set it to true or false (or 1, yes, on; 0, no, off), for example:\n\n\
             BACKPLANE_AGENT_OPTIONAL=true",
        ),
    };
    ErrorMessage::new(
        id,
        "A variable has an invalid value",
        format!("{variable} is set to:\n\n{value}\n\n{problem}\n\n{format}"),
    )
}
