//! What names no release.

use indoc::formatdoc;

use super::{Closing, ErrorMessage};
use crate::release::ReleaseError;

#[expect(clippy::too_many_lines, reason = "one arm of plain text per error")]
pub(super) fn message(error: ReleaseError) -> ErrorMessage {
    let (id, header, body, details) = match error {
        ReleaseError::NoDefaultArchive { target } => (
            "release/no-default-archive",
            "There is no Backplane agent for this platform",
            formatdoc! {"
                The image is built for {target}, and no archive of the agent is
                published for that. There are three ways out:

                1. If you have an agent for {target} on a server, set
                   BACKPLANE_AGENT_URL to the URL of its archive.
                2. If you have one as a file, add it to the app, and set
                   BACKPLANE_AGENT_URL to its path, such as vendor/backplane.
                3. Build the image for linux/amd64, for example with
                   pack build --platform linux/amd64.
            "},
            None,
        ),
        ReleaseError::UnknownPlaceholder { value, placeholder } => (
            "release/unknown-placeholder",
            "BACKPLANE_AGENT_URL has an unknown placeholder",
            formatdoc! {"
                {what}:

                {value}

                The placeholders are {{channel}}, {{os}} and {{arch}}, for example:

                BACKPLANE_AGENT_URL=https://mirror.example.com/backplane-{{channel}}-{{os}}-{{arch}}.tgz
            ", what = placeholder.map_or_else(
                || "In a user name, a password or a query, write '{' as %7B and '}' as %7D.\n\
                    Something in braces there is no placeholder in".to_owned(),
                |placeholder| format!("'{{{placeholder}}}' means nothing in"),
            )},
            None,
        ),
        ReleaseError::MalformedUrl { value, reason } => (
            "release/malformed-url",
            "BACKPLANE_AGENT_URL isn't a valid URL",
            formatdoc! {"
                It is set to:

                {value}

                Check it for typing errors. In a user name or a password, characters
                that have a meaning in a URL must be percent-encoded: '@' is %40,
                '#' is %23, '/' is %2F, ':' is %3A, '?' is %3F and '%' is %25.
                A valid value is, for example:

                BACKPLANE_AGENT_URL=https://user:pass%40word@mirror.example.com/backplane.tgz
            "},
            Some(reason.to_string()),
        ),
        ReleaseError::UnsupportedScheme { value, scheme } => (
            "release/unsupported-scheme",
            "BACKPLANE_AGENT_URL has an unsupported scheme",
            formatdoc! {"
                Nothing here can fetch from '{scheme}':

                {value}

                Use https:// or file://, the path of a file in the app, or http://
                together with BACKPLANE_AGENT_SHA256, for example:

                BACKPLANE_AGENT_URL=https://mirror.example.com/backplane.tgz
            "},
            None,
        ),
        ReleaseError::FileOnOtherHost { value } => (
            "release/file-on-other-host",
            "BACKPLANE_AGENT_URL names a file of another host",
            formatdoc! {"
                It is set to:

                {value}

                A file URL has three slashes, and names a file of the machine that
                builds, for example:

                BACKPLANE_AGENT_URL=file:///opt/backplane/backplane.tgz
            "},
            None,
        ),
        ReleaseError::HttpWithoutChecksum { value } => (
            "release/http-without-checksum",
            "An http:// source needs a checksum",
            formatdoc! {"
                BACKPLANE_AGENT_URL is not encrypted, so that anybody on the way could
                replace the agent:

                {value}

                Use https://, or say what must come from it, with the 64 hex digits
                that sha256sum prints for the file:

                BACKPLANE_AGENT_SHA256=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
            "},
            None,
        ),
        ReleaseError::AbsolutePath { value } => (
            "release/absolute-path",
            "BACKPLANE_AGENT_URL is an absolute path",
            formatdoc! {"
                It is set to:

                {value}

                A path is taken from the app's folder, without a slash at the begin.
                For a file of the machine that builds, use a file URL:

                BACKPLANE_AGENT_URL=file:///opt/backplane/backplane.tgz
            "},
            None,
        ),
        ReleaseError::OutsideApp { value } => (
            "release/outside-app",
            "BACKPLANE_AGENT_URL leaves the app's folder",
            formatdoc! {"
                It is set to:

                {value}

                A path may not have '..' in it. Put the agent into the app, and name it
                from the app's folder, for example:

                BACKPLANE_AGENT_URL=vendor/backplane
            "},
            None,
        ),
        ReleaseError::NoChecksumForArch { arch, pinned } => (
            "release/no-checksum-for-arch",
            "There is no checksum for this architecture",
            formatdoc! {"
                The image is built for {arch}, but BACKPLANE_AGENT_SHA256 has checksums
                for {pinned} only. Add one for {arch}:

                BACKPLANE_AGENT_SHA256=…,{arch}:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
            ", pinned = pinned.join(", ")},
            None,
        ),
    };
    ErrorMessage {
        id,
        header,
        body,
        details,
        closing: Closing::Nothing,
    }
}
