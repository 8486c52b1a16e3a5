//! Downloads that fail.

use bytesize::ByteSize;

use super::{Closing, ErrorMessage};
use crate::download::DownloadError;
use crate::http::HttpError;
use crate::redact::Redacted;

/// What is wrong with a download, as a clause.
pub(super) fn clause(error: &DownloadError) -> String {
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

pub(super) fn message(source: &Redacted, error: &DownloadError) -> ErrorMessage {
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
        DownloadError::ReadSource(error) if source.may_lack_scheme() => (
            "download/read",
            "There is no such file in the app. If it is the address of a server,\n\
             begin it with https://, for example:\n\n\
             BACKPLANE_AGENT_URL=https://mirror.example.com/backplane.tgz",
            Some(error.to_string()),
            Closing::Nothing,
        ),
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
        _ => clause(error),
    };
    // The rest of such a password was taken for the path or the query.
    let hint = if source.may_hide_a_password() {
        "\n\nIf the URL has a password with '/', '?', '#' or '@' in it, percent-encode\n\
         them: '/' is %2F, '?' is %3F, '#' is %23 and '@' is %40."
    } else {
        ""
    };
    ErrorMessage {
        id,
        header: "Unable to fetch the agent",
        body: format!(
            "The agent can't be fetched from\n\n{source}\n\nReason: {clause}.\n\n{advice}{hint}"
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
