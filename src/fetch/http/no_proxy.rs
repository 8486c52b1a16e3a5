//! `NO_PROXY`: the hosts that are reached without a proxy.

use std::net::IpAddr;

use url::{Host, Url};

/// Whether `list` contains the server of `url`.
///
/// An entry is `*`, a domain (which includes its subdomains, with or without a leading dot),
/// an IP address or a CIDR range, as in [curl](https://curl.se/docs/manpage.html#--noproxy). A
/// domain or an address may end with a port, as in
/// [Go](https://pkg.go.dev/golang.org/x/net/http/httpproxy#Config).
pub(super) fn is_excepted(list: &str, url: &Url) -> bool {
    let Some(host) = url.host() else {
        return false;
    };
    list.split(|separator: char| separator == ',' || separator.is_whitespace())
        .filter(|entry| !entry.is_empty())
        .any(|entry| matches(entry, &host, url.port_or_known_default()))
}

fn matches(entry: &str, host: &Host<&str>, port: Option<u16>) -> bool {
    let (name, wanted_port) = split_port(entry);
    if wanted_port.is_some_and(|wanted| wanted.parse().ok() != port) {
        return false;
    }
    match *host {
        _ if name == "*" => true,
        Host::Domain(domain) => is_in_domain(domain, name),
        Host::Ipv4(address) => is_in_range(address.into(), name),
        Host::Ipv6(address) => is_in_range(address.into(), name),
    }
}

/// Splits `host:port` and `[address]:port`; an IPv6 address without brackets has no port.
fn split_port(entry: &str) -> (&str, Option<&str>) {
    match entry.rsplit_once(':') {
        Some((name, port)) if name.ends_with(']') || !name.contains(':') => (name, Some(port)),
        _ => (entry, None),
    }
}

fn is_in_domain(domain: &str, entry: &str) -> bool {
    let name = entry
        .trim_start_matches('*')
        .trim_start_matches('.')
        .trim_end_matches('.');
    // Normalized like the host of a URL: lower case, and ASCII only.
    let Ok(Host::Domain(name)) = Host::parse(name) else {
        return false;
    };
    domain
        .trim_end_matches('.')
        .strip_suffix(&name)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn is_in_range(address: IpAddr, entry: &str) -> bool {
    let (network, length) = match entry.split_once('/') {
        Some((network, length)) => (network, Some(length)),
        None => (entry, None),
    };
    let Ok(network) = network.trim_matches(['[', ']']).parse::<IpAddr>() else {
        return false;
    };
    let (width, differences) = match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            (32, u128::from(address.to_bits() ^ network.to_bits()))
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => (128, address.to_bits() ^ network.to_bits()),
        _ => return false,
    };
    match length.map_or(Ok(width), str::parse::<u32>) {
        Ok(length) if length <= width => {
            // All bits except the last ones are equal.
            differences.checked_shr(width - length).unwrap_or_default() == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_are_matched_as_curl_and_go_do() {
        for (list, url, expected) in [
            ("*", "https://example.com/", true),
            ("*", "https://[::1]/", true),
            ("example.com", "https://example.com/", true),
            ("example.com", "https://example.com./", true),
            ("example.com.", "https://example.com/", true),
            ("EXAMPLE.com", "https://Example.COM/", true),
            ("example.com", "https://sub.example.com/", true),
            (".example.com", "https://sub.example.com/", true),
            (".example.com", "https://example.com/", true),
            ("*.example.com", "https://sub.example.com/", true),
            ("example.com", "https://myexample.com/", false),
            ("example.com", "https://example.com.org/", false),
            ("example.com", "https://example/", false),
            ("bücher.example", "https://xn--bcher-kva.example/", true),
            ("a, b c\tlocalhost\n", "http://localhost/", true),
            (", ,", "http://localhost/", false),
            (".", "http://localhost/", false),
            ("localhost", "http://127.0.0.1/", false),
            ("example.com:443", "https://example.com/", true),
            ("example.com:443", "http://example.com/", false),
            ("example.com:8443", "https://example.com:8443/", true),
            ("example.com:x", "https://example.com/", false),
            ("127.0.0.1", "http://127.0.0.1:8080/", true),
            ("127.0.0.1:8080", "http://127.0.0.1:8080/", true),
            ("127.0.0.1:80", "http://127.0.0.1:8080/", false),
            ("10.0.0.0/8", "http://10.1.2.3/", true),
            ("10.0.0.0/8", "http://11.1.2.3/", false),
            ("10.1.2.0/23", "http://10.1.3.255/", true),
            ("10.1.2.0/23", "http://10.1.4.0/", false),
            ("0.0.0.0/0", "http://10.1.2.3/", true),
            ("10.1.2.3/32", "http://10.1.2.3/", true),
            ("10.1.2.3/33", "http://10.1.2.3/", false),
            ("10.1.2.3/-1", "http://10.1.2.3/", false),
            ("10.1.2.3/", "http://10.1.2.3/", false),
            ("10.0.0.0/8", "http://10.example/", false),
            ("0.0.0.0/0", "http://[::1]/", false),
            ("::1", "http://[::1]:8080/", true),
            ("[::1]", "http://[::1]/", true),
            ("[::1]:8080", "http://[::1]:8080/", true),
            ("[::1]:81", "http://[::1]/", false),
            ("0:0:0:0:0:0:0:1", "http://[::1]/", true),
            ("fe80::/10", "http://[fe80::5]/", true),
            ("[fe80::]/10", "http://[fe80::5]/", true),
            ("fd00::/8", "http://[fe80::5]/", false),
            ("::/0", "http://[fe80::5]/", true),
        ] {
            let url = Url::parse(url).unwrap();
            assert_eq!(is_excepted(list, &url), expected, "{list} {url}");
        }
    }
}
