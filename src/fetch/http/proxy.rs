//! The proxy of a request.

use percent_encoding::percent_decode_str;
use ureq::ProxyProtocol;
use ureq::http::Uri;
use url::{Host, Url};

use super::credentials::basic_credentials;
use super::error::{HttpError, ProxyName};
use super::no_proxy::is_excepted;
use crate::network::{Network, ProxyVariable};

/// A proxy and its protocol.
#[derive(Clone, Debug)]
pub(super) struct ProxyServer {
    pub(super) name: ProxyName,
    pub(super) kind: ProxyKind,
}

#[derive(Clone, Debug)]
pub(super) enum ProxyKind {
    /// It takes requests with absolute URLs, and CONNECT requests.
    Http {
        uri: Uri,
        /// The value of `Proxy-Authorization`.
        credentials: Option<String>,
    },
    Socks(ureq::Proxy),
}

/// The proxy of a request for `url`, if there is one. A proxy that is not used is not parsed.
pub(super) fn choose(url: &Url, network: &Network) -> Result<Option<ProxyServer>, HttpError> {
    let variable = if url.scheme() == "https" {
        &network.https_proxy
    } else {
        &network.http_proxy
    };
    let Some(ProxyVariable { name, value }) = variable else {
        return Ok(None);
    };
    if is_excepted(&network.no_proxy, url) {
        return Ok(None);
    }
    value
        .to_str()
        .and_then(|value| parse(name, value))
        .map(Some)
        .ok_or(HttpError::ProxySetting { variable: name })
}

/// Parses a proxy as curl does, except that the default port is that of the scheme.
fn parse(variable: &'static str, value: &str) -> Option<ProxyServer> {
    // The parser of URLs silently drops some of these.
    if value.contains(|letter: char| letter.is_control() || letter.is_whitespace()) {
        return None;
    }
    let (scheme, rest) = value.split_once("://").unwrap_or(("http", value));
    let scheme = scheme.to_ascii_lowercase();
    let (protocol, default_port) = match scheme.as_str() {
        "http" => (ProxyProtocol::Http, 80),
        "https" => (ProxyProtocol::Https, 443),
        "socks" | "socks4" => (ProxyProtocol::Socks4, 1080),
        "socks4a" => (ProxyProtocol::Socks4A, 1080),
        "socks5" => (ProxyProtocol::Socks5, 1080),
        "socks5h" => (ProxyProtocol::Socks5h, 1080),
        _ => return None,
    };
    // The parser drops a port that is the default of its scheme, and this scheme has none.
    let url = Url::parse(&format!("proxy://{rest}")).ok()?;
    let is_only_an_address =
        matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
    let port = url.port().unwrap_or(default_port);
    if !is_only_an_address || port == 0 {
        return None;
    }
    let host = match url.host()? {
        Host::Domain(name) => Host::parse(name).ok()?,
        address => address.to_owned(),
    };
    let address = format!("{scheme}://{host}:{port}");
    let kind = match protocol {
        ProxyProtocol::Http | ProxyProtocol::Https => ProxyKind::Http {
            uri: format!("{address}/").parse().ok()?,
            credentials: basic_credentials(&url),
        },
        _ => ProxyKind::Socks(socks(protocol, &host.to_string(), port, &url)?),
    };
    Some(ProxyServer {
        name: ProxyName { variable, address },
        kind,
    })
}

fn socks(protocol: ProxyProtocol, host: &str, port: u16, url: &Url) -> Option<ureq::Proxy> {
    let decode = |text| percent_decode_str(text).decode_utf8().ok();
    let username = decode(url.username())?;
    let password = decode(url.password().unwrap_or_default())?;
    let mut builder = ureq::Proxy::builder(protocol).host(host).port(port);
    if !username.is_empty() {
        // The limits of RFC 1929.
        if [&username, &password]
            .iter()
            .any(|text| !(1..=255).contains(&text.len()))
        {
            return None;
        }
        builder = builder.username(&username).password(&password);
    }
    builder.build().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::http::tests::{basic, through};

    fn network(value: &str) -> Network {
        through(&Network::default(), value)
    }

    fn chosen(url: &str, network: &Network) -> Result<Option<ProxyServer>, HttpError> {
        choose(&Url::parse(url).unwrap(), network)
    }

    #[test]
    fn proxy_is_parsed_as_curl_does() {
        for (value, address) in [
            ("http://proxy:3128", "http://proxy:3128"),
            ("HTTP://Proxy.Example:3128/", "http://proxy.example:3128"),
            ("proxy.example", "http://proxy.example:80"),
            ("proxy:443", "http://proxy:443"),
            ("user:secret@proxy:3128", "http://proxy:3128"),
            ("user:se@cret@proxy:3128", "http://proxy:3128"),
            ("10.1.2.3:8080", "http://10.1.2.3:8080"),
            ("http://[::1]:3128", "http://[::1]:3128"),
            ("https://proxy", "https://proxy:443"),
            ("https://proxy:80", "https://proxy:80"),
            ("socks://proxy", "socks://proxy:1080"),
            ("socks4://proxy:1", "socks4://proxy:1"),
            ("socks4a://proxy:1080", "socks4a://proxy:1080"),
            ("socks5://user:secret@[::1]:80", "socks5://[::1]:80"),
            ("socks5h://us%40er:p%3Ass@proxy:443", "socks5h://proxy:443"),
        ] {
            let server = chosen("https://host/", &network(value)).unwrap().unwrap();
            assert_eq!(server.name.address, address, "{value}");
            assert_eq!(server.name.variable, "https_proxy");
            let is_socks = matches!(server.kind, ProxyKind::Socks(_));
            assert_eq!(is_socks, address.starts_with("socks"), "{value}");
        }
    }

    #[test]
    fn unusable_proxy_names_the_variable_that_is_set() {
        for value in [
            "://",
            "://proxy",
            "http://",
            "http:///",
            "http://:3128",
            "http://user:secret@",
            "http:/proxy",
            "gopher://proxy",
            "socks6://proxy:1",
            "http://proxy:0",
            "socks5://proxy:0",
            "http://proxy:99999",
            "http://proxy:port",
            "http://pro xy:3128",
            "http://pro\nxy:3128",
            "http://pro%20xy",
            "http://pro%00xy",
            "http://[fe80::1%25eth0]:3128",
            "http://[fe80::1",
            "http://user:sec/ret@proxy:3128",
            "http://user:sec?ret@proxy:3128",
            "http://user:sec#ret@proxy:3128",
            "socks5://user@proxy:1",
            "socks5://%ff:secret@proxy:1",
            "\u{fffd}",
        ] {
            let error = chosen("http://host/", &network(value)).unwrap_err();
            let expected = "ProxySetting { variable: \"ALL_PROXY\" }";
            assert_eq!(format!("{error:?}"), expected, "{value}");
            // A proxy that is not used is not parsed.
            let bypassing = Network {
                no_proxy: "host".to_owned(),
                ..network(value)
            };
            assert!(chosen("http://host/", &bypassing).unwrap().is_none());
        }
    }

    #[test]
    fn proxy_is_chosen_by_the_scheme_of_the_url() {
        let network = Network {
            http_proxy: None,
            ..network("http://us%65r:s%3Acret@proxy")
        };
        assert!(chosen("http://host/", &network).unwrap().is_none());
        let server = chosen("https://host/", &network).unwrap();
        let Some(ProxyKind::Http { uri, credentials }) = server.map(|server| server.kind) else {
            panic!();
        };
        assert_eq!(uri, "http://proxy:80/");
        assert_eq!(credentials, Some(basic("user:s:cret")));
    }
}
