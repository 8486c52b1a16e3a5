//! The address of the app, to which the agent sends requests.

use std::ffi::OsStr;
use std::fmt::{self, Display, Formatter};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU16;

use crate::http_get::HttpTarget;

/// The address of the app.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Upstream {
    pub(crate) host: Host,
    pub(crate) port: NonZeroU16,
    /// The URL that the user set. `None` for a port of this host, whose loopback address is
    /// known when the app listens.
    url: Option<String>,
}

/// A host, as far as it matters for probing whether something listens there.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Host {
    /// This host, by an address of its own: a loopback or the unspecified address.
    Local(IpAddr),
    /// This host, by the name that stands for both loopback addresses.
    Localhost,
    /// Another host, or this one by an address that others can reach.
    Remote(String),
}

/// The loopback address that the app serves. IPv4 if nothing is known: containers often have no
/// `::1`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Loopback {
    #[default]
    V4,
    V6,
}

/// Why a URL cannot be the address of an app.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum UrlError {
    /// Spaces, control characters or bytes that are not UTF-8.
    NotPlainText,
    /// Neither `http` nor `https`.
    Scheme,
    /// A user name or a password: the agent's arguments, which hold the URL, can be read by every
    /// user.
    UserInfo,
    /// Neither a name nor an IP address.
    Host,
    /// Not a number from 1 to 65535.
    Port,
}

impl Upstream {
    /// An app on this port of this host, at 127.0.0.1 or `::1`. `None` if the text is not a number
    /// from 1 to 65535.
    #[must_use]
    pub fn from_port(value: &OsStr) -> Option<Self> {
        Some(Self {
            host: Host::Localhost,
            port: parse_port(value.to_str()?.trim())?,
            url: None,
        })
    }

    /// An app at this URL.
    ///
    /// # Errors
    ///
    /// The first fault of it.
    pub fn from_url(value: &OsStr) -> Result<Self, UrlError> {
        let url = value.to_str().ok_or(UrlError::NotPlainText)?.trim();
        parse_url(url)
    }

    /// What [`Upstream::from_setting`] reads.
    pub(crate) fn to_setting(&self) -> String {
        self.url.clone().unwrap_or_else(|| self.port.to_string())
    }

    /// A port or a URL.
    pub(crate) fn from_setting(value: &OsStr) -> Option<Self> {
        Self::from_port(value).or_else(|| Self::from_url(value).ok())
    }

    /// The URL for the agent.
    pub(crate) fn url(&self, loopback: Loopback) -> String {
        let port = self.port;
        match (&self.url, loopback) {
            (Some(url), _) => url.clone(),
            (None, Loopback::V4) => format!("http://127.0.0.1:{port}"),
            (None, Loopback::V6) => format!("http://[::1]:{port}"),
        }
    }

    /// Whether the app is on another host: this one cannot see whether it listens there.
    pub(crate) fn is_remote(&self) -> bool {
        matches!(self.host, Host::Remote(_))
    }

    /// Whether this is a URL of this host with the scheme `http`, or a port.
    #[must_use]
    pub fn is_local_http(&self) -> bool {
        let is_http = |url: &String| {
            let scheme = url.get(..7);
            scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("http://"))
        };
        !self.is_remote() && self.url.as_ref().is_none_or(is_http)
    }

    /// Where to send a request for this path, or else for the one of the URL. `loopback` is the
    /// address that is known to be served, if one is.
    pub(crate) fn http_target(&self, loopback: Option<Loopback>, path: Option<&str>) -> HttpTarget {
        let rest = self.url.as_deref().and_then(|url| url.split_once("://"));
        let (authority, rest) = match rest {
            Some((_, rest)) => {
                rest.split_at(rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len()))
            }
            None => ("", ""),
        };
        let authority = match authority {
            "" => format!("localhost:{}", self.port),
            authority => authority.to_owned(),
        };
        let own_path = rest.split('#').next().unwrap_or_default();
        let slash = if own_path.starts_with('/') { "" } else { "/" };
        let v4 = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let v6 = IpAddr::V6(Ipv6Addr::LOCALHOST);
        let addresses = match (&self.host, loopback) {
            (Host::Local(address), _) if !address.is_unspecified() => vec![*address],
            (Host::Local(IpAddr::V4(_)), _) | (_, Some(Loopback::V4)) => vec![v4],
            (Host::Local(IpAddr::V6(_)), _) | (_, Some(Loopback::V6)) => vec![v6],
            (Host::Localhost | Host::Remote(_), None) => vec![v4, v6],
        };
        let port = self.port.get();
        HttpTarget {
            addresses: addresses
                .into_iter()
                .map(|address| SocketAddr::new(address, port))
                .collect(),
            authority,
            path: path.map_or_else(|| format!("{slash}{own_path}"), str::to_owned),
        }
    }

    /// One name for all ways to write the same address: what the lock is named for. Other loopback
    /// addresses than 127.0.0.1 and `::1` have names of their own, because other apps can listen
    /// there on the same port.
    pub(crate) fn address(&self) -> String {
        let port = self.port;
        match &self.host {
            Host::Local(address)
                if *address != Ipv4Addr::LOCALHOST && *address != Ipv6Addr::LOCALHOST =>
            {
                format!("{address}:{port}")
            }
            Host::Local(_) | Host::Localhost => format!("localhost:{port}"),
            Host::Remote(host) => format!("{host}:{port}"),
        }
    }
}

impl Display for Upstream {
    /// For people, without a query, which may hold a secret.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.url {
            Some(url) => f.write_str(&redacted(url)),
            None => write!(f, "port {}", self.port),
        }
    }
}

/// A URL, or a malformed one, without the parts that may be credentials: everything between the
/// scheme and the last `@`, and the query.
#[must_use]
pub fn redacted(url: &str) -> String {
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

/// Takes host and port from a URL (RFC 3986).
fn parse_url(url: &str) -> Result<Upstream, UrlError> {
    // Other characters have to be percent-encoded (RFC 3986, section 2); they would also garble a
    // log line or `ps`.
    if url.contains(|character: char| character.is_whitespace() || character.is_control()) {
        return Err(UrlError::NotPlainText);
    }
    let (scheme, rest) = url.split_once("://").ok_or(UrlError::Scheme)?;
    let default_port = match scheme.to_ascii_lowercase().as_str() {
        "http" => 80,
        "https" => 443,
        _ => return Err(UrlError::Scheme),
    };
    // At any place: a password may have a slash in it that should be percent-encoded, and redaction
    // uses the last one.
    if rest.contains('@') {
        return Err(UrlError::UserInfo);
    }
    let authority = rest
        .split(['/', '?', '#', '\\'])
        .next()
        .ok_or(UrlError::Host)?;
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']').ok_or(UrlError::Host)?;
            let address: Ipv6Addr = address.parse().map_err(|_| UrlError::Host)?;
            let port = match port.strip_prefix(':') {
                Some(port) => Some(port),
                None if port.is_empty() => None,
                None => return Err(UrlError::Port),
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
    Ok(Upstream {
        host,
        port: port.ok_or(UrlError::Port)?,
        url: Some(url.to_owned()),
    })
}

/// A port in digits only; `str::parse` alone would also take a plus sign.
fn parse_port(text: &str) -> Option<NonZeroU16> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())?
}

fn host_of_name(name: &str) -> Result<Host, UrlError> {
    if let Ok(address) = name.parse::<Ipv4Addr>() {
        return Ok(host_of_address(IpAddr::V4(address)));
    }
    let is_name = !name.is_empty()
        && !name.starts_with('-')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    if !is_name {
        return Err(UrlError::Host);
    }
    let name = name.to_ascii_lowercase();
    Ok(if name == "localhost" || name == "localhost." {
        Host::Localhost
    } else {
        Host::Remote(name)
    })
}

fn host_of_address(address: IpAddr) -> Host {
    let address = address.to_canonical();
    // Linux connects the unspecified address to this host (ip(7)).
    match address {
        _ if address.is_loopback() => Host::Local(address),
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Host::Local(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Host::Local(IpAddr::V6(Ipv6Addr::LOCALHOST)),
        _ => Host::Remote(address.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    fn local(address: &str) -> Host {
        Host::Local(address.parse().unwrap())
    }

    fn remote(name: &str) -> Host {
        Host::Remote(name.to_owned())
    }

    #[test]
    fn port_is_a_number_from_1_to_65535() {
        for (value, expected) in [
            ("1", Some(1)),
            ("8080", Some(8080)),
            ("65535", Some(65535)),
            (" 80\n", Some(80)),
        ] {
            let upstream = Upstream::from_port(OsStr::new(value));
            assert_eq!(upstream.map(|upstream| upstream.port.get()), expected);
        }
        for value in [
            "0", "65536", "-1", "+80", "eighty", "80 81", "0x50", "", "8080/tcp",
        ] {
            assert_eq!(Upstream::from_port(OsStr::new(value)), None, "{value}");
        }
        let not_text = OsStr::from_bytes(b"80\xff");
        assert_eq!(Upstream::from_port(not_text), None);
    }

    #[test]
    fn host_and_port_of_a_url_are_found() {
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
            ("http://[2001:db8::1]", remote("2001:db8::1"), 80),
            ("http://127.0.0.1:1/%40", local("127.0.0.1"), 1),
            ("http://app_1.Lan:65535", remote("app_1.lan"), 65535),
            ("http://10.0.0.1:8080", remote("10.0.0.1"), 8080),
        ] {
            let upstream = Upstream::from_url(OsStr::new(url)).expect(url);
            assert_eq!(upstream.url(Loopback::V6), url, "as the user wrote it");
            assert_eq!((upstream.host, upstream.port.get()), (host, port), "{url}");
        }
    }

    #[test]
    fn url_that_cannot_be_an_upstream_is_refused() {
        use UrlError::{Host, NotPlainText, Port, Scheme, UserInfo};
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
            assert_eq!(Upstream::from_url(OsStr::new(url)), Err(expected), "{url}");
        }
        let not_utf8 = OsStr::from_bytes(b"http://x/\xff");
        assert_eq!(Upstream::from_url(not_utf8), Err(NotPlainText));
    }

    #[test]
    fn address_is_the_same_for_all_names_of_this_host() {
        let address = |url: &str| Upstream::from_url(OsStr::new(url)).unwrap().address();
        let port = Upstream::from_port(OsStr::new("8080")).unwrap();
        for host in ["LocalHost.", "127.0.0.1", "0.0.0.0", "[::1]", "[::]"] {
            let url = format!("http://{host}:8080/x");
            assert_eq!(address(&url), port.address(), "{url}");
        }
        for (url, expected) in [
            ("http://127.0.0.2:8080", "127.0.0.2:8080"),
            ("http://[::ffff:127.0.0.2]:8080", "127.0.0.2:8080"),
            ("https://127.8.8.8", "127.8.8.8:443"),
            ("http://Other:8080", "other:8080"),
        ] {
            assert_eq!(address(url), expected);
        }
    }

    #[test]
    fn credentials_are_redacted() {
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
        let upstream = Upstream::from_url(OsStr::new("http://x:1/?t")).unwrap();
        assert_eq!(upstream.to_string(), "http://x:1/?***");
    }
}
