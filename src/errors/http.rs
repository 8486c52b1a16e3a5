//! Downloads that fail between here and the server: what to do.

use std::borrow::Cow;

use indoc::formatdoc;

use super::Closing;
use crate::http::{HttpError, ProxyName, ProxyProblem, TlsProblem};

/// How a message about a download goes on.
pub(super) struct Advice {
    pub(super) id: &'static str,
    pub(super) text: Cow<'static, str>,
    pub(super) details: Option<String>,
    pub(super) closing: Closing,
}

impl Advice {
    fn new(id: &'static str, text: impl Into<Cow<'static, str>>, closing: Closing) -> Self {
        Self {
            id,
            text: text.into(),
            details: None,
            closing,
        }
    }
}

pub(super) fn advice(error: &HttpError) -> Advice {
    match error {
        HttpError::NoAuthorities { named, reasons } => Advice {
            details: (!reasons.is_empty()).then(|| reasons.join("; ")),
            ..Advice::new(
                "download/no-authorities",
                no_authorities(named.as_deref()),
                Closing::Nothing,
            )
        },
        HttpError::ProxySetting { .. } => Advice::new(
            "download/proxy-setting",
            "Set it to the URL of an HTTP or SOCKS proxy, such as\n\
             http://user:password@proxy.example.com:3128, or unset it for the build.\n\
             In the user and the password, percent-encode all but letters and digits\n\
             (%40 for @).",
            Closing::Nothing,
        ),
        HttpError::Proxy { proxy, problem } => of_proxy(proxy, problem),
        HttpError::HostNotFound => Advice::new(
            "download/host-not-found",
            "Check the name in BACKPLANE_AGENT_URL, and that the machine that builds\n\
             can resolve names, or set HTTPS_PROXY if it needs a proxy.",
            Closing::TryAgain,
        ),
        HttpError::Connection { .. } => Advice::new(
            "download/connection",
            "Check that the machine that builds can reach the server, and set\n\
             HTTPS_PROXY if it needs a proxy.",
            Closing::TryAgain,
        ),
        HttpError::Tls { problem, named } => Advice::new(
            "download/tls",
            of_tls(*problem, named.as_deref()),
            Closing::Nothing,
        ),
        HttpError::TimedOut { .. } => Advice::new(
            "download/timed-out",
            "The server or the way to it is slow. A mirror nearer to the machine\n\
             that builds (BACKPLANE_AGENT_URL), or an agent vendored with the app,\n\
             doesn't depend on it.",
            Closing::TryAgain,
        ),
        HttpError::Status {
            status,
            is_rate_limit,
            proxy,
            ..
        } => of_status(*status, *is_rate_limit, proxy.is_some()),
        HttpError::Protocol { .. } => Advice::new(
            "download/protocol",
            "Check that BACKPLANE_AGENT_URL names a web server, and that no proxy or\n\
             firewall answers in its place.",
            Closing::TryAgain,
        ),
        HttpError::TooManyRedirects { .. } => Advice::new(
            "download/redirects",
            "Set BACKPLANE_AGENT_URL to where the redirects end.",
            Closing::Nothing,
        ),
        HttpError::InsecureRedirect => Advice::new(
            "download/insecure-redirect",
            "Set BACKPLANE_AGENT_URL to an https:// URL that stays encrypted.",
            Closing::Nothing,
        ),
        HttpError::UnusableRedirect => Advice::new(
            "download/unusable-redirect",
            "See where the redirect leads (curl -I), and set BACKPLANE_AGENT_URL to\n\
             where the file really is.",
            Closing::Nothing,
        ),
    }
}

fn no_authorities(named: Option<&str>) -> Cow<'static, str> {
    let Some(named) = named else {
        return "Use a builder that has the package ca-certificates, or set\n\
             SSL_CERT_FILE for the build to a PEM file that is in the builder or in\n\
             the app (/workspace/ca.pem, for example)."
            .into();
    };
    formatdoc! {"
        The build has

        {named}

        which must name regular files in PEM form (-----BEGIN CERTIFICATE-----)
        that are in the builder or in the app. Correct that, or unset it for the
        build, to use the authorities of the builder."
    }
    .into()
}

fn of_status(status: u16, is_rate_limit: bool, is_through_proxy: bool) -> Advice {
    let (id, text, closing) = match status {
        403 if is_rate_limit => (
            "download/rate-limited",
            "The server limits how often it is asked, often for all machines behind\n\
             one address together. Wait, ask with credentials of your own\n\
             (https://user:password@…), or use a mirror of your own\n\
             (BACKPLANE_AGENT_URL).",
            Closing::TryAgain,
        ),
        401 | 403 => (
            "download/forbidden",
            "Check that BACKPLANE_AGENT_URL is right, and has the credentials that\n\
             the server asks for (https://user:password@…).",
            Closing::Nothing,
        ),
        404 | 410 => (
            "download/not-found",
            "Check BACKPLANE_AGENT_URL and BACKPLANE_AGENT_CHANNEL: there is no such\n\
             file on the server.",
            Closing::Nothing,
        ),
        _ => (
            "download/status",
            "The server is in trouble, or doesn't like the request. A mirror of your\n\
             own (BACKPLANE_AGENT_URL), or an agent vendored with the app, doesn't\n\
             depend on it.",
            Closing::TryAgain,
        ),
    };
    if is_through_proxy {
        let text = formatdoc! {"
            {text}

            The proxy may have answered in the server's place: check that it lets the
            machine that builds reach the server, or name the server in NO_PROXY."
        };
        Advice::new(id, text, closing)
    } else {
        Advice::new(id, text, closing)
    }
}

fn of_proxy(proxy: &ProxyName, problem: &ProxyProblem) -> Advice {
    let variable = proxy.variable;
    match problem {
        ProxyProblem::HostNotFound | ProxyProblem::Connection { .. } | ProxyProblem::TimedOut => {
            Advice::new(
                "download/proxy-connection",
                formatdoc! {"
                Check {variable}, and that the machine that builds can reach the
                proxy. If the server can be reached without it, unset {variable}
                for the build, or name the server in NO_PROXY."
                },
                Closing::TryAgain,
            )
        }
        ProxyProblem::Tls(TlsProblem::NoTls | TlsProblem::Handshake) => Advice::new(
            "download/proxy-tls",
            formatdoc! {"
                Most proxies are not encrypted themselves. For such a one, let
                {variable} begin with http://: that is the way to the proxy only, and
                https:// sources stay encrypted all the way to their server."
            },
            Closing::Nothing,
        ),
        ProxyProblem::Tls(_) => Advice::new(
            "download/proxy-tls",
            formatdoc! {"
                This is about the proxy's own certificate, not about the server's. Ask
                those who run the proxy, or if its certificate is from a private
                authority, name that authority's certificate in SSL_CERT_FILE, together
                with those that the server needs."
            },
            Closing::Nothing,
        ),
        ProxyProblem::Credentials => Advice::new(
            "download/proxy-credentials",
            formatdoc! {"
                Set the right user and password in {variable}, such as
                http://user:password@proxy.example.com:3128. In both, percent-encode all
                but letters and digits (%40 for @)."
            },
            Closing::Nothing,
        ),
        ProxyProblem::Refused { status } => Advice::new(
            "download/proxy-refused",
            match status {
                Some(_) => {
                    "Check that the proxy lets the machine that builds reach the server, or\n\
                     name the server in NO_PROXY."
                }
                None => {
                    "Check that the proxy lets the machine that builds reach the server, and\n\
                     whether it wants a user and a password, or name the server in NO_PROXY."
                }
            },
            Closing::TryAgain,
        ),
        ProxyProblem::Protocol => Advice::new(
            "download/proxy-protocol",
            formatdoc! {"
                Check the port in {variable}, and that it begins with the protocol of
                the proxy: http://, https://, socks4:// or socks5://."
            },
            Closing::TryAgain,
        ),
    }
}

fn of_tls(problem: TlsProblem, named: Option<&str>) -> Cow<'static, str> {
    match (problem, named) {
        (TlsProblem::Expired, _) => {
            "Check the clock of the machine that builds. If it is right, those who\n\
             run the server have to renew its certificate."
        }
        (TlsProblem::NotYetValid, _) => {
            "Check the clock of the machine that builds. If it is right, those who\n\
             run the server have to use a certificate that is valid already."
        }
        (TlsProblem::WrongName, _) => {
            "Check the server's name in BACKPLANE_AGENT_URL. If it is right, those\n\
             who run the server need a certificate with that name among its\n\
             subjectAltNames."
        }
        (TlsProblem::UnknownAuthority, None) => {
            "If the server's certificate is from a private authority, set\n\
             SSL_CERT_FILE for the build to a PEM file with the authority's\n\
             certificate. It must be in the builder or in the app."
        }
        (TlsProblem::UnknownAuthority, Some(named)) => {
            return formatdoc! {"
                The build trusts only the authorities of

                {named}

                Add the certificate of the authority that the server's is from, in PEM
                form, or unset the variable for the build if the authority is a public
                one."
            }
            .into();
        }
        (TlsProblem::Unsuitable, _) => {
            "It is an authority's own certificate (CA:TRUE), or lacks what a server's\n\
             needs. A self-signed one must be made as a server's:\n\
             \n\
             openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=HOST \\\n\
             \u{20}  -addext subjectAltName=DNS:HOST \\\n\
             \u{20}  -addext basicConstraints=critical,CA:FALSE \\\n\
             \u{20}  -keyout key.pem -out certificate.pem"
        }
        (TlsProblem::NoTls, _) => {
            "Check the server's name and port in BACKPLANE_AGENT_URL: what answers\n\
             there isn't encrypted."
        }
        (TlsProblem::Handshake, _) => {
            "The server must speak TLS 1.2 or 1.3 with a current certificate. Those\n\
             who run it can see in its log what it doesn't like."
        }
    }
    .into()
}
