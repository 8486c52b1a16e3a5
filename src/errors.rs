//! Every error in words for the user whose build it has stopped.

use std::fmt;
use std::io;

use bullet_stream::global::print;
use bytesize::ByteSize;
use indoc::formatdoc;

use crate::archive::{AGENT, ArchiveError};
use crate::classic::ClassicError;
use crate::download::DownloadError;
use crate::http::HttpError;
use crate::install::InstallError;
use crate::release::ReleaseError;
use crate::settings::{Setting, SettingProblem, SettingsError};

/// Errors that can occur in a build.
#[derive(Debug)]
pub(crate) enum BackplaneError {
    /// The classic front end could not do its part.
    Classic(ClassicError),
    /// The agent could not be installed.
    Install(InstallError),
    /// The launch program could not be installed.
    LaunchProgram(io::Error),
    /// The layer's own file could not be removed, though it cannot be read.
    LayerRecord(io::Error),
    /// What is asked for names no release.
    Release(ReleaseError),
    /// A variable cannot be used.
    Settings(SettingsError),
}

/// Tells a user what has stopped the build.
pub(crate) fn on_error(error: libcnb::Error<BackplaneError>) {
    print::error(message(error).to_string());
}

/// A message that stands alone: what happened, to what, and what to do now.
pub(crate) struct ErrorMessage {
    /// Stable, for those who search for it.
    id: &'static str,
    header: &'static str,
    body: String,
    /// What the system or a library said.
    details: Option<String>,
    closing: Closing,
}

/// How a message ends.
enum Closing {
    /// The body has said what to change.
    Nothing,
    /// The trouble may pass.
    TryAgain,
    /// Nobody expects this.
    Report,
}

impl fmt::Display for ErrorMessage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}\n\n{}\n", self.header, self.body.trim_end())?;
        if let Some(details) = &self.details {
            write!(formatter, "\nDetails: {details}\n")?;
        }
        match self.closing {
            Closing::Nothing => {}
            Closing::TryAgain => formatter.write_str(
                "\nThis may pass: try the build again first. To build without an agent\n\
                 when it can't be fetched, set BACKPLANE_AGENT_OPTIONAL=true.\n",
            )?,
            Closing::Report => formatter.write_str(
                "\nThis is unexpected, and may be a bug of this buildpack or a problem of\n\
                 the machine that builds. Try again; if it stays, please report it to\n\
                 the buildpack's maintainers together with this log.\n",
            )?,
        }
        write!(formatter, "\nError: backplane/{}\n", self.id)
    }
}

/// Why an installation failed, in one sentence, for the warnings of a build that goes on.
pub(crate) fn reason(error: &InstallError) -> String {
    match error {
        InstallError::Download { source, error } => {
            format!("{source} can't be fetched: {}.", download_clause(error))
        }
        InstallError::Checksum { source, actual, .. } => {
            format!("{source} has the checksum {actual}, which isn't the pinned one.")
        }
        InstallError::Archive { source, error } => {
            format!("{source} can't be installed: {}.", archive_clause(error))
        }
        InstallError::Staging(error) | InstallError::Folder(error) => {
            format!("The agent can't be written ({error}).")
        }
    }
}

fn message(error: libcnb::Error<BackplaneError>) -> ErrorMessage {
    match error {
        libcnb::Error::BuildpackError(error) => of_buildpack(error),
        framework_error => ErrorMessage {
            id: "framework",
            header: "The buildpack's framework failed",
            body: "Something failed between the buildpack and the platform that runs it."
                .to_owned(),
            details: Some(framework_error.to_string()),
            closing: Closing::Report,
        },
    }
}

/// The message of an error of our own, for either front end.
pub(crate) fn of_buildpack(error: BackplaneError) -> ErrorMessage {
    match error {
        BackplaneError::Classic(error) => on_classic_error(error),
        BackplaneError::Install(error) => on_install_error(&error),
        BackplaneError::LaunchProgram(error) => ErrorMessage {
            id: "launch-program",
            header: "Unable to install the launch program",
            body: "The program that starts the agent at launch can't be put beside the agent."
                .to_owned(),
            details: Some(error.to_string()),
            closing: Closing::Report,
        },
        BackplaneError::LayerRecord(error) => ErrorMessage {
            id: "layer-record",
            header: "Unable to remove a damaged layer file",
            body: formatdoc! {"
                The file that describes the cached layer is damaged, and it can't be
                removed either. Build once without the cache (pack build --clear-cache).
            "},
            details: Some(error.to_string()),
            closing: Closing::Report,
        },
        BackplaneError::Release(error) => on_release_error(error),
        BackplaneError::Settings(error) => on_settings_error(&error),
    }
}

fn on_classic_error(error: ClassicError) -> ErrorMessage {
    let (id, header, body, error) = match error {
        ClassicError::Arguments => {
            return ErrorMessage {
                id: "classic/arguments",
                header: "The buildpack was called without its folders",
                body: formatdoc! {"
                    Heroku calls it with three of them:

                    bin/compile BUILD_DIR CACHE_DIR ENV_DIR
                "},
                details: None,
                closing: Closing::Nothing,
            };
        }
        ClassicError::ConfigVars(error) => (
            "classic/config-vars",
            "Unable to read the config vars",
            "The folder with a file for each config var (ENV_DIR) can't be read.",
            error,
        ),
        ClassicError::Cache(error) => (
            "classic/cache",
            "Unable to use the build cache",
            "The agent can't be kept in the build cache (CACHE_DIR). Empty it, and\n\
             build again: heroku builds:cache:purge (of the plugin heroku-builds).",
            error,
        ),
        ClassicError::Slug(error) => (
            "classic/slug",
            "Unable to put the agent into the app",
            "The agent is installed below '.backplane' in the app, and started by\n\
             '.profile.d/backplane.sh'. Check that the app has nothing in their place.",
            error,
        ),
    };
    ErrorMessage {
        id,
        header,
        body: body.to_owned(),
        details: Some(error.to_string()),
        closing: Closing::Report,
    }
}

fn on_settings_error(error: &SettingsError) -> ErrorMessage {
    let SettingsError {
        setting,
        value,
        problem,
    } = error;
    let variable = setting.name();
    let problem = match problem {
        SettingProblem::NotText => {
            "It isn't plain text: it has bytes that are no UTF-8, or control\ncharacters."
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

#[expect(clippy::too_many_lines, reason = "one arm of plain text per error")]
fn on_release_error(error: ReleaseError) -> ErrorMessage {
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
                '{{{placeholder}}}' means nothing in:

                {value}

                The placeholders are {{channel}}, {{os}} and {{arch}}, for example:

                BACKPLANE_AGENT_URL=https://mirror.example.com/backplane-{{channel}}-{{os}}-{{arch}}.tgz
            "},
            None,
        ),
        ReleaseError::MalformedUrl { value, reason } => (
            "release/malformed-url",
            "BACKPLANE_AGENT_URL isn't a valid URL",
            formatdoc! {"
                It is set to:

                {value}

                Check it for typing errors. A valid value is, for example:

                BACKPLANE_AGENT_URL=https://mirror.example.com/backplane.tgz
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

fn on_install_error(error: &InstallError) -> ErrorMessage {
    match error {
        InstallError::Download { source, error } => on_download_error(source, error),
        InstallError::Checksum {
            source,
            expected,
            actual,
        } => ErrorMessage {
            id: "checksum",
            header: "The agent's checksum isn't the pinned one",
            body: formatdoc! {"
                The download from

                {source}

                isn't the one that BACKPLANE_AGENT_SHA256 asks for:

                expected {expected}
                actual   {actual}

                Nothing of it was installed. If a new version was published on purpose
                and you trust it, set BACKPLANE_AGENT_SHA256 to the actual checksum. If
                not, somebody may have tampered with the file: ask whoever runs the
                source.
            "},
            details: None,
            closing: Closing::Nothing,
        },
        InstallError::Archive { source, error } => on_archive_error(source, error),
        InstallError::Staging(error) | InstallError::Folder(error) => ErrorMessage {
            id: "write",
            header: "Unable to write the agent",
            body: formatdoc! {"
                The agent's files can't be written. Check that the machine that builds
                has free disk space.
            "},
            details: Some(error.to_string()),
            closing: Closing::Report,
        },
    }
}

/// What is wrong with a download, as a clause.
fn download_clause(error: &DownloadError) -> String {
    match error {
        DownloadError::Http(error) => error.to_string(),
        DownloadError::ReadSource(error) => format!("the file can't be read ({error})"),
        DownloadError::NotAFile => "it isn't a file".to_owned(),
        DownloadError::OutsideApp => "it leads out of the app's folder".to_owned(),
        DownloadError::Empty => "it is empty".to_owned(),
        DownloadError::TooLarge { limit } => {
            format!("it is larger than {}", ByteSize(*limit))
        }
        DownloadError::Write(error) => format!("the download can't be written ({error})"),
    }
}

fn on_download_error(source: &str, error: &DownloadError) -> ErrorMessage {
    let (id, advice, details, closing) = match error {
        DownloadError::Http(error) => {
            let (id, advice, closing) = http_advice(error);
            let details = match error {
                HttpError::NoAuthorities { reasons } if !reasons.is_empty() => {
                    Some(reasons.join("; "))
                }
                _ => None,
            };
            (id, advice, details, closing)
        }
        DownloadError::ReadSource(error) => (
            "download/read",
            "Check that BACKPLANE_AGENT_URL names a file that is there when the app\n\
             is built: a vendored file must be committed, and not be in .gitignore,\n\
             .slugignore or the excluded files of project.toml.",
            Some(error.to_string()),
            Closing::Nothing,
        ),
        DownloadError::NotAFile => (
            "download/not-a-file",
            "BACKPLANE_AGENT_URL must name an archive or an executable, not the\n\
             folder that it is in.",
            None,
            Closing::Nothing,
        ),
        DownloadError::OutsideApp => (
            "download/outside-app",
            "A link leads out of the app's folder. Put the file itself into the app.",
            None,
            Closing::Nothing,
        ),
        DownloadError::Empty => (
            "download/empty",
            "Check the file at the source.",
            None,
            Closing::TryAgain,
        ),
        DownloadError::TooLarge { .. } => (
            "download/too-large",
            "Check that BACKPLANE_AGENT_URL names the agent's archive.",
            None,
            Closing::Nothing,
        ),
        DownloadError::Write(error) => (
            "download/write",
            "Check that the machine that builds has free disk space.",
            Some(error.to_string()),
            Closing::Report,
        ),
    };
    let clause = match error {
        // The system's own words follow as details.
        DownloadError::ReadSource(_) => "the file can't be read".to_owned(),
        DownloadError::Write(_) => "the download can't be written".to_owned(),
        _ => download_clause(error),
    };
    ErrorMessage {
        id,
        header: "Unable to fetch the agent",
        body: format!(
            "The agent can't be fetched from\n\n{source}\n\nReason: {clause}.\n\n{advice}"
        ),
        details,
        closing,
    }
}

fn http_advice(error: &HttpError) -> (&'static str, &'static str, Closing) {
    match error {
        HttpError::NoAuthorities { .. } => (
            "download/no-authorities",
            "Use a builder that has the package ca-certificates, or set\n\
             SSL_CERT_FILE for the build to a PEM file that is in the builder or in\n\
             the app (/workspace/ca.pem, for example).",
            Closing::Nothing,
        ),
        HttpError::Proxy { .. } => (
            "download/proxy-setting",
            "Set it to the URL of an HTTP proxy, such as\n\
             http://user:password@proxy.example.com:3128, or unset it for the build.",
            Closing::Nothing,
        ),
        HttpError::HostNotFound => (
            "download/host-not-found",
            "Check the name in BACKPLANE_AGENT_URL, and that the machine that builds\n\
             can resolve names, or set HTTPS_PROXY if it needs a proxy.",
            Closing::TryAgain,
        ),
        HttpError::Connection { .. } => (
            "download/connection",
            "Check that the machine that builds can reach the server, and set\n\
             HTTPS_PROXY if it needs a proxy.",
            Closing::TryAgain,
        ),
        HttpError::ProxyRefused => (
            "download/proxy-refused",
            "Check that the proxy lets the machine that builds reach the server, or\n\
             name the server in NO_PROXY.",
            Closing::TryAgain,
        ),
        HttpError::Tls { .. } => (
            "download/tls",
            "If the server's certificate is from a private authority, set\n\
             SSL_CERT_FILE for the build to a PEM file with the authority's\n\
             certificate. It must be in the builder or in the app.",
            Closing::Nothing,
        ),
        HttpError::TimedOut { .. } => (
            "download/timed-out",
            "The server or the way to it is slow. A mirror nearer to the machine\n\
             that builds (BACKPLANE_AGENT_URL), or an agent vendored with the app,\n\
             doesn't depend on it.",
            Closing::TryAgain,
        ),
        HttpError::Status {
            status: 401 | 403, ..
        } => (
            "download/forbidden",
            "Check that BACKPLANE_AGENT_URL is right, and has the credentials that\n\
             the server asks for (https://user:password@…).",
            Closing::Nothing,
        ),
        HttpError::Status {
            status: 404 | 410, ..
        } => (
            "download/not-found",
            "Check BACKPLANE_AGENT_URL and BACKPLANE_AGENT_CHANNEL: there is no such\n\
             file on the server.",
            Closing::Nothing,
        ),
        HttpError::Status { .. } => (
            "download/status",
            "The server is in trouble, or doesn't like the request. A mirror of your\n\
             own (BACKPLANE_AGENT_URL), or an agent vendored with the app, doesn't\n\
             depend on it.",
            Closing::TryAgain,
        ),
        HttpError::Protocol { .. } => (
            "download/protocol",
            "Check that BACKPLANE_AGENT_URL names a web server, and that no proxy or\n\
             firewall answers in its place.",
            Closing::TryAgain,
        ),
        HttpError::TooManyRedirects { .. } => (
            "download/redirects",
            "Set BACKPLANE_AGENT_URL to where the redirects end.",
            Closing::Nothing,
        ),
        HttpError::InsecureRedirect => (
            "download/insecure-redirect",
            "Set BACKPLANE_AGENT_URL to an https:// URL that stays encrypted.",
            Closing::Nothing,
        ),
    }
}

/// What is wrong with an archive, as a clause.
fn archive_clause(error: &ArchiveError) -> String {
    match error {
        ArchiveError::NotAnAgent { found } => format!(
            "it is neither an archive nor an executable, but {}",
            found.describe()
        ),
        ArchiveError::Damaged { reason } => {
            format!("the archive is truncated or damaged ({reason})")
        }
        ArchiveError::TooLarge { limit } => {
            format!("the archive unpacks to more than {}", ByteSize(*limit))
        }
        ArchiveError::TooManyEntries { limit } => {
            format!("the archive has more than {limit} entries")
        }
        ArchiveError::PathTooLong => "the archive has a path that is too long".to_owned(),
        ArchiveError::NoAgent { names } if names.is_empty() => {
            format!("the archive has no regular file '{AGENT}', nor any other")
        }
        ArchiveError::NoAgent { names } => format!(
            "the archive has no regular file '{AGENT}', but {}",
            names.join(", ")
        ),
        ArchiveError::SeveralAgents { paths } => {
            format!("the archive has more than one agent: {}", paths.join(", "))
        }
        ArchiveError::RepeatedName { name } => {
            format!("the archive has the file '{name}' twice")
        }
        ArchiveError::ReservedName { name } => {
            format!("the archive has a file '{name}', a name of this buildpack's own")
        }
        ArchiveError::UnusableName { name } => {
            format!("the archive has a file with the unusable name '{name}'")
        }
        ArchiveError::NotExecutable { found } => format!(
            "'{AGENT}' is neither an ELF program nor a script with #!, but {}",
            found.describe()
        ),
        ArchiveError::WrongArchitecture {
            name,
            found,
            target,
        } => format!("'{name}' is {}, which {target} can't run", found.describe()),
        ArchiveError::Read(error) => format!("the download can't be read again ({error})"),
        ArchiveError::Write(error) => format!("its files can't be written ({error})"),
    }
}

fn on_archive_error(source: &str, error: &ArchiveError) -> ErrorMessage {
    let (id, advice, closing) = match error {
        ArchiveError::NotAnAgent { .. } => (
            "archive/not-an-agent",
            "Open the source in a browser: it may be a page that asks for a login or\n\
             tells of an error. It must be the agent's archive (tar, or tar with\n\
             gzip) or its executable.",
            Closing::Nothing,
        ),
        ArchiveError::Damaged { .. } => (
            "archive/damaged",
            "Check the file at the source, for example with tar -tzf.",
            Closing::TryAgain,
        ),
        ArchiveError::TooLarge { .. } => (
            "archive/too-large",
            "Check that BACKPLANE_AGENT_URL names the agent's archive, and not that\n\
             of something else.",
            Closing::Nothing,
        ),
        ArchiveError::TooManyEntries { .. } => (
            "archive/too-many-entries",
            "Check that BACKPLANE_AGENT_URL names the agent's archive, and not that\n\
             of something else.",
            Closing::Nothing,
        ),
        ArchiveError::NoAgent { .. } => (
            "archive/no-agent",
            "The archive must hold the agent's executable under the name\n\
             'backplane', in any folder.",
            Closing::Nothing,
        ),
        ArchiveError::SeveralAgents { .. } | ArchiveError::RepeatedName { .. } => (
            "archive/ambiguous",
            "Publish an archive that holds the agent and its files once.",
            Closing::Nothing,
        ),
        ArchiveError::ReservedName { .. }
        | ArchiveError::UnusableName { .. }
        | ArchiveError::PathTooLong => (
            "archive/name",
            "Publish an archive without that file, or with another name for it.",
            Closing::Nothing,
        ),
        ArchiveError::NotExecutable { .. } => (
            "archive/not-executable",
            "Publish an archive in which 'backplane' is a Linux program, or a script\n\
             that begins with the line #!/bin/sh, for example.",
            Closing::Nothing,
        ),
        ArchiveError::WrongArchitecture { .. } => (
            "archive/wrong-architecture",
            "Use an agent for the platform of the image. {os} and {arch} in\n\
             BACKPLANE_AGENT_URL stand for that platform.",
            Closing::Nothing,
        ),
        ArchiveError::Read(_) | ArchiveError::Write(_) => (
            "archive/write",
            "Check that the machine that builds has free disk space.",
            Closing::Report,
        ),
    };
    ErrorMessage {
        id,
        header: "Unable to install the agent",
        body: format!(
            "There is nothing to install in what came from\n\n{source}\n\nReason: {}.\n\n{advice}",
            archive_clause(error)
        ),
        details: None,
        closing,
    }
}

#[cfg(test)]
mod tests;
