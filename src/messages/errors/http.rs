//! Errors of a download from a server.

use bytesize::ByteSize;
use indoc::formatdoc;

use super::message::{ErrorMessage, NextStep};
use crate::fetch::http::{
    AuthorityProblem, HttpError, Phase, ProtocolProblem, ProxyName, ProxyProblem, TlsProblem,
};

pub(super) const HEADER: &str = "Unable to fetch the agent";

/// What is wrong, as a clause.
pub(in crate::messages) fn clause(error: &HttpError) -> String {
    match error {
        HttpError::NoAuthorities { .. } => {
            "there is no certificate authority to verify the server's certificate".to_owned()
        }
        HttpError::ProxySetting { variable } => {
            format!("{variable} isn't the URL of a supported proxy")
        }
        HttpError::Proxy { proxy, problem } => format!("the proxy {proxy} {}", of_proxy(problem)),
        HttpError::HostNotFound => "the server's name doesn't resolve".to_owned(),
        HttpError::Connection(reason) => format!("the connection failed ({reason})"),
        HttpError::Closed => "the connection was closed early".to_owned(),
        HttpError::Tls { problem, .. } => {
            format!("the server's TLS isn't acceptable ({})", of_tls(*problem))
        }
        HttpError::TimedOut(phase) => match phase {
            Phase::Connect => "connecting to the server took too long".to_owned(),
            Phase::Response => "the server took too long to respond".to_owned(),
            Phase::Read => "the server stopped sending in the middle of the file".to_owned(),
            Phase::Total { bytes } => {
                let size = ByteSize(*bytes);
                format!("the download as a whole took too long; {size} had arrived")
            }
        },
        HttpError::Status {
            status,
            is_rate_limit,
            proxy,
            ..
        } => {
            let limit = match is_rate_limit {
                true => " because of too many requests",
                false => "",
            };
            let through = match proxy {
                Some(proxy) => format!(" through the proxy {proxy}"),
                None => String::new(),
            };
            format!("the server responded with status {status}{limit}{through}")
        }
        HttpError::Protocol(problem) => match problem {
            ProtocolProblem::LargeHeaders => "the server's headers are too large",
            ProtocolProblem::Malformed => "the server's response isn't valid HTTP",
            ProtocolProblem::Request => "the server can't be reached over HTTP",
        }
        .to_owned(),
        HttpError::TooManyRedirects { limit } => {
            format!("the server redirects more than {limit} times")
        }
        HttpError::InsecureRedirect => "the server redirects from https to http".to_owned(),
        HttpError::UnusableRedirect => {
            "the server redirects to something other than an http or https URL".to_owned()
        }
    }
}

/// What is wrong with a proxy, as a clause after its name.
fn of_proxy(problem: &ProxyProblem) -> String {
    match problem {
        ProxyProblem::HostNotFound => "can't be reached: its name doesn't resolve".to_owned(),
        ProxyProblem::Connection(reason) => format!("can't be reached ({reason})"),
        ProxyProblem::Closed => "closed the connection".to_owned(),
        ProxyProblem::TimedOut => "took too long to connect to the server".to_owned(),
        ProxyProblem::Tls(problem) => format!("has no acceptable TLS ({})", of_tls(*problem)),
        ProxyProblem::Credentials => "requires a user and a password".to_owned(),
        ProxyProblem::Refused(None) => "refused to connect to the server".to_owned(),
        ProxyProblem::Refused(Some(status)) => {
            format!("refused to connect to the server (status {status})")
        }
        ProxyProblem::Protocol => "uses another protocol".to_owned(),
    }
}

fn of_tls(problem: TlsProblem) -> &'static str {
    match problem {
        TlsProblem::Expired => "its certificate has expired",
        TlsProblem::NotYetValid => "its certificate isn't valid yet",
        TlsProblem::WrongName => "its certificate is for another name",
        TlsProblem::UnknownAuthority => "its certificate is from an unknown authority",
        TlsProblem::Unsuitable => "its certificate isn't a server certificate",
        TlsProblem::NoTls => "it doesn't use TLS",
        TlsProblem::Handshake => "the handshake failed",
    }
}

/// A message with only the advice in its body.
pub(super) fn advice(error: &HttpError) -> ErrorMessage {
    match error {
        HttpError::NoAuthorities { named, problems } => {
            let message = new("download/no-authorities", no_authorities(named.as_deref()));
            if problems.is_empty() {
                return message;
            }
            let problems: Vec<_> = problems.iter().map(of_authority).collect();
            message.details(problems.join("; "))
        }
        HttpError::ProxySetting { .. } => new(
            "download/proxy-setting",
            "Set it to the URL of an HTTP or SOCKS proxy, such as\n\
             http://user:password@proxy.example.com:3128, or unset it for the build.\n\
             In the user and the password, percent-encode everything except letters\n\
             and digits (%40 for @).",
        ),
        HttpError::Proxy { proxy, problem } => advice_on_proxy(proxy, problem),
        HttpError::HostNotFound => temporary(
            "download/host-not-found",
            "Check that the build machine can resolve names, or set HTTPS_PROXY if it\n\
             needs a proxy. Set BACKPLANE_AGENT_URL to a name that exists, or to the\n\
             path of an agent in the app.",
        ),
        HttpError::Connection(_) | HttpError::Closed => temporary(
            "download/connection",
            "Check that the build machine can reach the server, and set HTTPS_PROXY\n\
             if it needs a proxy.",
        ),
        HttpError::Tls { problem, named } => {
            new("download/tls", advice_on_tls(*problem, named.as_deref()))
        }
        HttpError::TimedOut(_) => temporary(
            "download/timed-out",
            format!("The server or the network is slow. {OTHER_SOURCES}"),
        ),
        HttpError::Status {
            status,
            is_rate_limit,
            proxy,
            ..
        } => {
            let mut message = advice_on_status(*status, *is_rate_limit);
            if proxy.is_some() {
                message.body.push_str(
                    "\n\nThe response may come from the proxy. Check that it lets the build\n\
                     machine reach the server, or list the server in NO_PROXY.",
                );
            }
            message
        }
        HttpError::Protocol(_) => temporary(
            "download/protocol",
            "Check that BACKPLANE_AGENT_URL names a web server, and that no proxy or\n\
             firewall responds instead of it.",
        ),
        HttpError::TooManyRedirects { .. } => new(
            "download/redirects",
            "Set BACKPLANE_AGENT_URL to the address at which the redirects end.",
        ),
        HttpError::InsecureRedirect => new(
            "download/insecure-redirect",
            "Set BACKPLANE_AGENT_URL to an https:// URL that doesn't redirect to http.",
        ),
        HttpError::UnusableRedirect => new(
            "download/unusable-redirect",
            "Check where the redirect leads (curl -I), and set BACKPLANE_AGENT_URL to\n\
             the actual address of the file.",
        ),
    }
}

const OTHER_SOURCES: &str = "You can use your own\n\
    mirror (BACKPLANE_AGENT_URL) or vendor the agent with the app.";

fn new(id: &'static str, advice: impl Into<String>) -> ErrorMessage {
    ErrorMessage::new(id, HEADER, advice)
}

fn temporary(id: &'static str, advice: impl Into<String>) -> ErrorMessage {
    new(id, advice).then(NextStep::TryAgain)
}

fn of_authority(problem: &AuthorityProblem) -> String {
    match problem {
        AuthorityProblem::Read { path, error } => format!("{path}: {error}"),
        AuthorityProblem::Empty(path) => format!("{path} contains no certificate in PEM form"),
        AuthorityProblem::EmptyDirectory(path) => {
            format!("{path} contains no file with a certificate in PEM form")
        }
        AuthorityProblem::Damaged => "the certificates in PEM form are damaged".to_owned(),
    }
}

fn no_authorities(named: Option<&str>) -> String {
    let Some(named) = named else {
        return "Use a builder that has the package ca-certificates, or set SSL_CERT_FILE\n\
             for the build to a PEM file in the builder or in the app (for example,\n\
             /workspace/ca.pem)."
            .to_owned();
    };
    formatdoc! {"
        The build has

        {named}

        which must name regular files in PEM form (-----BEGIN CERTIFICATE-----)
        in the builder or in the app. Correct that, or unset it for the build to
        use the builder's authorities."
    }
}

fn advice_on_status(status: u16, is_rate_limit: bool) -> ErrorMessage {
    match status {
        403 if is_rate_limit => temporary(
            "download/rate-limited",
            "The server limits the number of requests, often for all machines behind\n\
             one address together. Wait, or use your own credentials\n\
             (https://user:password@…) or your own mirror (BACKPLANE_AGENT_URL).",
        ),
        401 | 403 => new(
            "download/forbidden",
            "Check that BACKPLANE_AGENT_URL is right and contains the credentials that\n\
             the server requires (https://user:password@…).",
        ),
        404 | 410 => new(
            "download/not-found",
            "The server has no such file. Check BACKPLANE_AGENT_URL and\n\
             BACKPLANE_AGENT_CHANNEL.",
        ),
        _ => temporary(
            "download/status",
            format!("The server has a problem or rejects the request. {OTHER_SOURCES}"),
        ),
    }
}

fn advice_on_proxy(proxy: &ProxyName, problem: &ProxyProblem) -> ErrorMessage {
    let variable = proxy.variable;
    match problem {
        ProxyProblem::HostNotFound
        | ProxyProblem::Connection(_)
        | ProxyProblem::Closed
        | ProxyProblem::TimedOut => temporary(
            "download/proxy-connection",
            formatdoc! {"
                    Check {variable}, and that the build machine can reach the proxy.
                    If it can reach the server without the proxy, unset {variable}
                    for the build, or list the server in NO_PROXY."
            },
        ),
        ProxyProblem::Tls(TlsProblem::NoTls | TlsProblem::Handshake) => new(
            "download/proxy-tls",
            formatdoc! {"
                Most proxies aren't encrypted. For such a proxy, let {variable}
                start with http://. That affects only the connection to the proxy:
                https:// sources stay encrypted all the way to their server."
            },
        ),
        ProxyProblem::Tls(_) => new(
            "download/proxy-tls",
            "This is about the proxy's certificate, not the server's. Contact those\n\
             who run the proxy. If its certificate is from a private authority, add\n\
             the certificate of that authority to the file in SSL_CERT_FILE, together\n\
             with those that the server needs.",
        ),
        ProxyProblem::Credentials => new(
            "download/proxy-credentials",
            formatdoc! {"
                Set the right user and password in {variable}, such as
                http://user:password@proxy.example.com:3128. In both, percent-encode
                everything except letters and digits (%40 for @)."
            },
        ),
        ProxyProblem::Refused(status) => temporary(
            "download/proxy-refused",
            match status {
                Some(_) => {
                    "Check that the proxy lets the build machine reach the server, or list\n\
                     the server in NO_PROXY."
                }
                None => {
                    "Check that the proxy lets the build machine reach the server, and\n\
                     whether it requires a user and a password, or list the server in\n\
                     NO_PROXY."
                }
            },
        ),
        ProxyProblem::Protocol => temporary(
            "download/proxy-protocol",
            formatdoc! {"
                Check the port in {variable}, and that it starts with the proxy's
                protocol: http://, https://, socks4:// or socks5://."
            },
        ),
    }
}

fn advice_on_tls(problem: TlsProblem, named: Option<&str>) -> String {
    match (problem, named) {
        (TlsProblem::Expired, _) => {
            "Check the clock of the build machine. If it is right, those who run the\n\
             server have to renew its certificate."
        }
        (TlsProblem::NotYetValid, _) => {
            "Check the clock of the build machine. If it is right, those who run the\n\
             server have to use a certificate that is already valid."
        }
        (TlsProblem::WrongName, _) => {
            "Check the server's name in BACKPLANE_AGENT_URL. If it is right, those who\n\
             run the server need a certificate with that name among its\n\
             subjectAltNames."
        }
        (TlsProblem::UnknownAuthority, None) => {
            "If the server's certificate is from a private authority, set\n\
             SSL_CERT_FILE for the build to a PEM file with that authority's\n\
             certificate. The file must be in the builder or in the app."
        }
        (TlsProblem::UnknownAuthority, Some(named)) => {
            return formatdoc! {"
                The build trusts only the authorities in

                {named}

                Add the certificate of the server's authority in PEM form. If that is a
                public authority, unset the variable for the build instead."
            };
        }
        (TlsProblem::Unsuitable, _) => {
            "It is the certificate of an authority (CA:TRUE), or lacks what a server\n\
             certificate needs. Create a self-signed one for a server like this:\n\
             \n\
             openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=HOST \\\n\
             \u{20}  -addext subjectAltName=DNS:HOST \\\n\
             \u{20}  -addext basicConstraints=critical,CA:FALSE \\\n\
             \u{20}  -keyout key.pem -out certificate.pem"
        }
        (TlsProblem::NoTls, _) => {
            "Check the server's name and port in BACKPLANE_AGENT_URL: what responds\n\
             there isn't encrypted."
        }
        (TlsProblem::Handshake, _) => {
            "The server must support TLS 1.2 or 1.3 and have a current certificate.\n\
             Those who run it can find the cause in its log."
        }
    }
    .to_owned()
}
