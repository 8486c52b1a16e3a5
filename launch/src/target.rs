//! Where the agent sends requests.

use std::ffi::OsStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU16;

/// Where the agent sends requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// The app's port on this host; which loopback address is known when the app listens.
    Port(NonZeroU16),
    /// What the user asked for.
    Url(ProxyUrl),
}

/// A URL that has been checked for what we need to know of it; the rest is the agent's affair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProxyUrl {
    url: String,
    host: Host,
    port: NonZeroU16,
}

/// A host, as far as it matters for finding out whether something listens there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Host {
    /// This host, by an address of its own: a loopback or the unspecified address.
    Local(IpAddr),
    /// This host, by the name that stands for both loopback addresses.
    Localhost,
    /// Another host, or this one by an address that others can reach.
    Foreign(String),
}

/// Which loopback address the app serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loopback {
    V4,
    V6,
}

/// Why a URL cannot be the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProxyUrlError {
    NotPlainText,
    Scheme,
    /// A user name or a password: the agent's arguments, which hold the URL, can be read by every user.
    UserInfo,
    Host,
    Port,
}

/// A `PORT` that is no port from 1 to 65535.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PortError;

impl Target {
    /// The target for a value of `PORT`.
    pub(crate) fn from_port(value: &OsStr) -> Result<Self, PortError> {
        let text = value.to_str().ok_or(PortError)?;
        parse_port(text.trim()).map(Self::Port).ok_or(PortError)
    }

    /// The target for a value of `BACKPLANE_PROXY_URL`.
    pub(crate) fn from_url(value: &OsStr) -> Result<Self, ProxyUrlError> {
        let url = value.to_str().ok_or(ProxyUrlError::NotPlainText)?.trim();
        parse_url(url).map(Self::Url)
    }

    /// The URL for the agent's command line.
    pub(crate) fn url(&self, loopback: Loopback) -> String {
        match (self, loopback) {
            (Self::Port(port), Loopback::V4) => format!("http://127.0.0.1:{port}"),
            (Self::Port(port), Loopback::V6) => format!("http://[::1]:{port}"),
            (Self::Url(url), _) => url.url.clone(),
        }
    }

    pub(crate) fn host(&self) -> &Host {
        match self {
            Self::Port(_) => &Host::Localhost,
            Self::Url(url) => &url.host,
        }
    }

    pub(crate) fn port(&self) -> NonZeroU16 {
        match self {
            Self::Port(port) => *port,
            Self::Url(url) => url.port,
        }
    }

    /// One name for all ways to write the same place: what the lock is named for. Other loopback addresses than 127.0.0.1 and `::1`
    /// are places of their own, as other apps can listen there on the same port.
    pub(crate) fn place(&self) -> String {
        let port = self.port();
        match self.host() {
            Host::Local(address)
                if ![
                    IpAddr::V4(Ipv4Addr::LOCALHOST),
                    IpAddr::V6(Ipv6Addr::LOCALHOST),
                ]
                .contains(address) =>
            {
                format!("{address}:{port}")
            }
            Host::Local(_) | Host::Localhost => format!("localhost:{port}"),
            Host::Foreign(host) => format!("{host}:{port}"),
        }
    }
}

impl std::fmt::Display for Target {
    /// For people: without a password.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Port(port) => write!(formatter, "port {port}"),
            Self::Url(url) => formatter.write_str(&redacted(&url.url)),
        }
    }
}

/// A URL, or something that was meant as one, without what may be credentials in it: everything between the scheme and the
/// last `@`, and the query.
pub(crate) fn redacted(url: &str) -> String {
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), url),
    };
    let (credentials, rest) = match rest.rsplit_once('@') {
        Some((_, rest)) => ("***@", rest),
        None => ("", rest),
    };
    match rest.split_once('?') {
        Some((rest, _)) => format!("{scheme}{credentials}{rest}?***"),
        None => format!("{scheme}{credentials}{rest}"),
    }
}

/// Takes from a URL (RFC 3986) what we need: scheme, host, port.
fn parse_url(url: &str) -> Result<ProxyUrl, ProxyUrlError> {
    // Everything else has to be percent-encoded (RFC 3986, section 2); it would also spoil a log line or `ps`.
    if url.contains(|character: char| character.is_whitespace() || character.is_control()) {
        return Err(ProxyUrlError::NotPlainText);
    }
    let (scheme, rest) = url.split_once("://").ok_or(ProxyUrlError::Scheme)?;
    let default_port = match scheme.to_ascii_lowercase().as_str() {
        "http" => 80,
        "https" => 443,
        _ => return Err(ProxyUrlError::Scheme),
    };
    // Wherever it is: a password may have a slash in it that should be percent-encoded, and redaction goes by the last one.
    if rest.contains('@') {
        return Err(ProxyUrlError::UserInfo);
    }
    let authority = rest
        .split(['/', '?', '#', '\\'])
        .next()
        .ok_or(ProxyUrlError::Host)?;
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']').ok_or(ProxyUrlError::Host)?;
            let address: Ipv6Addr = address.parse().map_err(|_| ProxyUrlError::Host)?;
            let port = match port.strip_prefix(':') {
                Some(port) => Some(port),
                None if port.is_empty() => None,
                None => return Err(ProxyUrlError::Port),
            };
            (host_of_address(IpAddr::V6(address)), port)
        }
        None => match authority.split_once(':') {
            Some((name, port)) => (host_of_name(name)?, Some(port)),
            None => (host_of_name(authority)?, None),
        },
    };
    // A colon without a port means the default one (RFC 3986, section 3.2.3).
    let port = match port {
        None | Some("") => NonZeroU16::new(default_port),
        Some(port) => parse_port(port),
    };
    Ok(ProxyUrl {
        url: url.to_owned(),
        host,
        port: port.ok_or(ProxyUrlError::Port)?,
    })
}

/// A port in digits only; `str::parse` alone would also take a plus sign.
fn parse_port(text: &str) -> Option<NonZeroU16> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())?
}

fn host_of_name(name: &str) -> Result<Host, ProxyUrlError> {
    if let Ok(address) = name.parse::<Ipv4Addr>() {
        return Ok(host_of_address(IpAddr::V4(address)));
    }
    let is_name = !name.is_empty()
        && !name.starts_with('-')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    if !is_name {
        return Err(ProxyUrlError::Host);
    }
    let name = name.to_ascii_lowercase();
    Ok(if name == "localhost" || name == "localhost." {
        Host::Localhost
    } else {
        Host::Foreign(name)
    })
}

fn host_of_address(address: IpAddr) -> Host {
    let address = address.to_canonical();
    // Linux connects the unspecified address to this host (ip(7)).
    match address {
        _ if address.is_loopback() => Host::Local(address),
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Host::Local(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Host::Local(IpAddr::V6(Ipv6Addr::LOCALHOST)),
        _ => Host::Foreign(address.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt as _;

    fn local(address: &str) -> Host {
        Host::Local(address.parse().unwrap())
    }

    fn foreign(name: &str) -> Host {
        Host::Foreign(name.to_owned())
    }

    #[test]
    fn port_is_a_number_from_1_to_65535() {
        for (value, expected) in [
            ("1", Some(1)),
            ("8080", Some(8080)),
            ("65535", Some(65535)),
            (" 80\n", Some(80)),
        ] {
            let target = Target::from_port(OsStr::new(value))
                .ok()
                .map(|target| target.port().get());
            assert_eq!(target, expected);
        }
        for value in [
            "0", "65536", "-1", "+80", "eighty", "80 81", "0x50", "", "8080/tcp",
        ] {
            assert_eq!(
                Target::from_port(OsStr::new(value)),
                Err(PortError),
                "{value}"
            );
        }
        assert_eq!(
            Target::from_port(OsStr::from_bytes(b"80\xff")),
            Err(PortError)
        );
    }

    #[test]
    fn url_gives_host_and_port() {
        for (url, host, port) in [
            ("http://127.0.0.1:3000", local("127.0.0.1"), 3000),
            ("http://127.0.0.1", local("127.0.0.1"), 80),
            ("http://127.0.0.1:", local("127.0.0.1"), 80),
            ("https://127.0.0.2/", local("127.0.0.2"), 443),
            ("HTTP://LocalHost:3000/path?q=1#f", Host::Localhost, 3000),
            ("http://localhost.:3000", Host::Localhost, 3000),
            ("http://0.0.0.0:3000", local("127.0.0.1"), 3000),
            ("http://[::1]:3000", local("::1"), 3000),
            ("http://[::]:3000", local("::1"), 3000),
            ("http://[::ffff:127.0.0.1]:3000", local("127.0.0.1"), 3000),
            ("http://[2001:db8::1]", foreign("2001:db8::1"), 80),
            ("http://127.0.0.1:1/%40", local("127.0.0.1"), 1),
            (
                "http://app_1.Internal:65535",
                foreign("app_1.internal"),
                65535,
            ),
            ("http://10.0.0.1:8080", foreign("10.0.0.1"), 8080),
        ] {
            let Ok(Target::Url(target)) = Target::from_url(OsStr::new(url)) else {
                panic!("{url} was refused");
            };
            assert_eq!((target.host, target.port.get()), (host, port), "{url}");
            assert_eq!(target.url, url, "the agent gets what the user wrote");
        }
    }

    #[test]
    fn url_that_cannot_be_a_target_is_refused() {
        use ProxyUrlError::{Host, NotPlainText, Port, Scheme, UserInfo};
        for (url, expected) in [
            ("127.0.0.1:3000", Scheme),
            ("localhost", Scheme),
            ("ftp://x", Scheme),
            ("unix:///tmp/socket", Scheme),
            ("://x", Scheme),
            ("--version", Scheme),
            ("http://", Host),
            ("http:///path", Host),
            ("http://:3000", Host),
            ("http://user@:3000", UserInfo),
            ("http://user:p@ss@127.0.0.1:1/", UserInfo),
            ("https://user:password@app.internal", UserInfo),
            ("http://user@127.0.0.1:3000", UserInfo),
            ("http://:password@127.0.0.1:3000", UserInfo),
            ("http://@127.0.0.1:3000", UserInfo),
            ("http://user:1/pass@127.0.0.1:3000", UserInfo),
            ("http://user:1?pass@127.0.0.1:3000", UserInfo),
            ("http://user:1#pass@127.0.0.1:3000", UserInfo),
            ("http://user:1\\pass@127.0.0.1:3000", UserInfo),
            ("http://-x", Host),
            ("http://a$b", Host),
            ("http://[::1", Host),
            ("http://[nonsense]:1", Host),
            ("http://[::1]3000", Port),
            ("http://x:0", Port),
            ("http://x:65536", Port),
            ("http://x:+1", Port),
            ("http://x:port", Port),
            ("http://x:1:2", Port),
            ("http://x y", NotPlainText),
            ("http://x/\u{1b}", NotPlainText),
        ] {
            assert_eq!(Target::from_url(OsStr::new(url)), Err(expected), "{url}");
        }
        let not_utf8 = OsStr::from_bytes(b"http://x/\xff");
        assert_eq!(Target::from_url(not_utf8), Err(NotPlainText));
    }

    #[test]
    fn url_for_the_agent_follows_the_address_that_the_app_serves() {
        let port = Target::from_port(OsStr::new("8080")).unwrap();
        assert_eq!(port.url(Loopback::V4), "http://127.0.0.1:8080");
        assert_eq!(port.url(Loopback::V6), "http://[::1]:8080");
        let url = Target::from_url(OsStr::new("http://localhost:1/x")).unwrap();
        assert_eq!(url.url(Loopback::V6), "http://localhost:1/x");
    }

    #[test]
    fn place_is_the_same_for_all_names_of_this_host() {
        let place = |url: &str| Target::from_url(OsStr::new(url)).unwrap().place();
        let port = Target::from_port(OsStr::new("8080")).unwrap();
        for host in [
            "localhost",
            "LocalHost.",
            "127.0.0.1",
            "0.0.0.0",
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
        ] {
            let url = format!("http://{host}:8080/x");
            assert_eq!(place(&url), port.place(), "{url}");
        }
        for (url, expected) in [
            ("http://127.0.0.2:8080", "127.0.0.2:8080"),
            ("http://[::ffff:127.0.0.2]:8080", "127.0.0.2:8080"),
            ("https://127.8.8.8", "127.8.8.8:443"),
            ("http://Other:8080", "other:8080"),
        ] {
            assert_eq!(place(url), expected);
        }
    }

    #[test]
    fn words_for_people_have_no_credentials() {
        for (url, expected) in [
            ("http://x:1/p", "http://x:1/p"),
            ("http://u:p@x:1/p?token=t", "http://***@x:1/p?***"),
            ("http://u:p@ss@x", "http://***@x"),
            ("http://u:p/ss@x", "http://***@x"),
            ("u:p@x", "***@x"),
            ("nonsense", "nonsense"),
        ] {
            assert_eq!(redacted(url), expected);
        }
        let target = Target::from_url(OsStr::new("http://x:1/?t")).unwrap();
        assert_eq!(target.to_string(), "http://x:1/?***");
    }
}
