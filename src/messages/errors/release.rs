//! Settings that name no release.

use indoc::formatdoc;

use super::message::ErrorMessage;
use crate::redact::Redacted;
use crate::release::{ReleaseError, SourceProblem};
use crate::target::Target;

pub(super) fn message(error: ReleaseError) -> ErrorMessage {
    match error {
        ReleaseError::UnknownAgent { name, known } => unknown_agent(&name, &known),
        ReleaseError::NoDefaultArchive {
            agent,
            target,
            platforms,
        } => no_default_archive(&agent, &target, &platforms),
        ReleaseError::NoVersion(value) => no_version(&value),
        ReleaseError::UnknownPlaceholder { value, placeholder } => {
            unknown_placeholder(&value, placeholder.as_deref())
        }
        ReleaseError::Source(value, problem) => cannot_be_used(&value, &problem),
        ReleaseError::NoChecksumForArch { arch, pinned } => ErrorMessage::new(
            "release/no-checksum-for-arch",
            "There is no checksum for this architecture",
            formatdoc! {"
                The image is built for {arch}, but BACKPLANE_AGENT_SHA256 has checksums
                for {pinned} only. Add one for {arch}:

                BACKPLANE_AGENT_SHA256=…,{arch}:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
            ", pinned = pinned.join(", ")},
        ),
    }
}

fn cannot_be_used(value: &Redacted, problem: &SourceProblem) -> ErrorMessage {
    let (id, header, advice) = match problem {
        SourceProblem::Malformed(_) => (
            "release/malformed-url",
            "BACKPLANE_AGENT_URL isn't a valid URL",
            "Check it for typos. In a user name or a password, percent-encode the\n\
             characters that have a meaning in a URL: '@' is %40, '#' is %23, '/' is\n\
             %2F, ':' is %3A, '?' is %3F and '%' is %25. For example:\n\n\
             BACKPLANE_AGENT_URL=https://user:pass%40word@mirror.example.com/backplane.tgz",
        ),
        SourceProblem::UnsupportedScheme => (
            "release/unsupported-scheme",
            "BACKPLANE_AGENT_URL has an unsupported scheme",
            "Use https:// or file://, the path of a file in the app, or http://\n\
             together with BACKPLANE_AGENT_SHA256, for example:\n\n\
             BACKPLANE_AGENT_URL=https://mirror.example.com/backplane.tgz",
        ),
        SourceProblem::FileOnOtherHost => (
            "release/file-on-other-host",
            "BACKPLANE_AGENT_URL names a file on another host",
            "A file URL has three slashes and names a file on the build machine, for\n\
             example:\n\n\
             BACKPLANE_AGENT_URL=file:///opt/backplane/backplane.tgz",
        ),
        SourceProblem::HttpWithoutChecksum => (
            "release/http-without-checksum",
            "An http:// source needs a checksum",
            "It isn't encrypted, so others could replace the agent on its way. Use\n\
             https://, or pin the agent to the 64 hex digits that sha256sum prints for\n\
             the file:\n\n\
             BACKPLANE_AGENT_SHA256=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ),
        SourceProblem::AbsolutePath => (
            "release/absolute-path",
            "BACKPLANE_AGENT_URL is an absolute path",
            "Paths are relative to the app directory and must not start with a slash.\n\
             For a file on the build machine, use a file URL:\n\n\
             BACKPLANE_AGENT_URL=file:///opt/backplane/backplane.tgz",
        ),
        SourceProblem::OutsideApp => (
            "release/outside-app",
            "BACKPLANE_AGENT_URL leaves the app directory",
            "Paths must not contain '..'. Put the agent into the app, and use its path\n\
             relative to the app directory, for example:\n\n\
             BACKPLANE_AGENT_URL=vendor/backplane",
        ),
    };
    let body = format!("BACKPLANE_AGENT_URL is set to:\n\n{value}\n\n{advice}");
    let message = ErrorMessage::new(id, header, body);
    match problem {
        SourceProblem::Malformed(reason) => message.details(reason),
        _ => message,
    }
}

fn unknown_agent(name: &Redacted, known: &[String]) -> ErrorMessage {
    ErrorMessage::new(
        "release/unknown-agent",
        "BACKPLANE_AGENT doesn't name an agent of this buildpack",
        formatdoc! {"
            BACKPLANE_AGENT is set to:

            {name}

            Set it to one of these names:

            {known}

            To install another agent, remove BACKPLANE_AGENT, and set
            BACKPLANE_AGENT_URL to the agent's source.
        ", known = known.join(", ")},
    )
}

fn no_version(value: &Redacted) -> ErrorMessage {
    ErrorMessage::new(
        "release/no-version",
        "There is no value for {version}",
        formatdoc! {"
            BACKPLANE_AGENT_URL has the placeholder {{version}}:

            {value}

            The buildpack knows no version of this agent. Set it, for example:

            BACKPLANE_AGENT_VERSION=1.2.3
        "},
    )
}

fn no_default_archive(agent: &str, target: &Target, platforms: &[String]) -> ErrorMessage {
    let platform = platforms.first().map_or("linux/amd64", String::as_str);
    ErrorMessage::new(
        "release/no-default-archive",
        "There is no agent for this platform",
        formatdoc! {"
            The image is built for {target}, for which no release of the agent
            {agent} is published. You have three options:

            1. If you have an agent for {target} on a server, set
               BACKPLANE_AGENT_URL to the URL of its archive.
            2. If you have one as a file, add it to the app, and set
               BACKPLANE_AGENT_URL to its path, such as vendor/backplane.
            3. Build the image for {platform}, for example with
               pack build --platform {platform}.
        "},
    )
}

fn unknown_placeholder(value: &Redacted, placeholder: Option<&str>) -> ErrorMessage {
    let problem = placeholder.map_or_else(
        || {
            "In a user name, a password or a query, write '{' as %7B and '}' as %7D.\n\
             There is an unknown placeholder in"
                .to_owned()
        },
        |placeholder| format!("'{{{placeholder}}}' isn't a placeholder in"),
    );
    ErrorMessage::new(
        "release/unknown-placeholder",
        "BACKPLANE_AGENT_URL has an unknown placeholder",
        formatdoc! {"
            {problem}:

            {value}

            The placeholders are {{channel}}, {{version}}, {{os}} and {{arch}}, for
            example:

            BACKPLANE_AGENT_URL=https://mirror.example.com/backplane-{{channel}}-{{os}}-{{arch}}.tgz
        "},
    )
}
