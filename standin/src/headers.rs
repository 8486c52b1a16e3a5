//! What a proxy changes in the header of a message.

use hyper::header::{
    CONNECTION, COOKIE, HeaderMap, HeaderName, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE,
};
use std::net::IpAddr;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Removes what is meant for the next hop alone: what `Connection` names, `Connection` itself, and the fields that
/// RFC 9110, section 7.6.1, lists because not every sender names them.
pub(crate) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = connection_options(headers)
        .filter_map(|option| option.parse().ok())
        .collect();
    for name in named.iter().chain(&[
        CONNECTION,
        KEEP_ALIVE,
        PROXY_CONNECTION,
        TE,
        TRANSFER_ENCODING,
        UPGRADE,
    ]) {
        headers.remove(name);
    }
}

/// Whether the client asks to change to another protocol, such as WebSocket (RFC 9110, section 7.8).
pub(crate) fn ask_for_upgrade(headers: &HeaderMap) -> bool {
    headers.contains_key(UPGRADE)
        && connection_options(headers).any(|option| option.eq_ignore_ascii_case("upgrade"))
}

/// Tells the app who asked, and over what: it only ever sees connections of the agent.
pub(crate) fn add_forwarded(headers: &mut HeaderMap, client: IpAddr) {
    let earlier = headers.get_all(FORWARDED_FOR).iter();
    let hops: Vec<_> = earlier
        .map(HeaderValue::as_bytes)
        .chain([client.to_string().as_bytes()])
        .collect::<Vec<_>>()
        .join(&b", "[..]);
    let hops = HeaderValue::from_bytes(&hops)
        .expect("header values and an address with commas between them are a header value");
    headers.insert(FORWARDED_FOR, hops);
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
}

/// Joins the `Cookie` fields, which HTTP/2 allows to be several and HTTP/1.1 does not (RFC 9113, section 8.2.3).
pub(crate) fn join_cookies(headers: &mut HeaderMap) {
    let cookies: Vec<_> = headers
        .get_all(COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if cookies.len() > 1 {
        let joined = HeaderValue::from_bytes(&cookies.join(&b"; "[..]))
            .expect("header values with semicolons between them are a header value");
        headers.insert(COOKIE, joined);
    }
}

/// The options that the `Connection` fields list.
fn connection_options(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .fold(HeaderMap::new(), |mut headers, (name, value)| {
                headers.append(name, value);
                headers
            })
    }

    #[test]
    fn hop_by_hop_fields_are_removed_and_others_kept() {
        let mut headers = map(&[
            ("connection", "close, X-Named"),
            ("connection", "x-named-too"),
            ("x-named", "1"),
            ("x-named-too", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "close"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("content-length", "3"),
            ("x-kept", "1"),
        ]);
        remove_hop_by_hop(&mut headers);
        assert_eq!(headers, map(&[("content-length", "3"), ("x-kept", "1")]));
    }

    #[test]
    fn upgrade_needs_both_fields() {
        for (fields, expected) in [
            (
                &[
                    ("connection", "keep-alive, Upgrade"),
                    ("upgrade", "websocket"),
                ][..],
                true,
            ),
            (&[("upgrade", "websocket")], false),
            (&[("connection", "upgrade")], false),
            (&[("connection", "close"), ("upgrade", "websocket")], false),
            (&[], false),
        ] {
            assert_eq!(ask_for_upgrade(&map(fields)), expected, "{fields:?}");
        }
    }

    #[test]
    fn client_is_added_to_the_hops_before_it() {
        for (fields, expected) in [
            (&[][..], "127.0.0.1"),
            (&[("x-forwarded-for", "192.0.2.1")], "192.0.2.1, 127.0.0.1"),
            (
                &[
                    ("x-forwarded-for", "192.0.2.1, 192.0.2.2"),
                    ("x-forwarded-for", "192.0.2.3"),
                ],
                "192.0.2.1, 192.0.2.2, 192.0.2.3, 127.0.0.1",
            ),
            (&[("x-forwarded-proto", "https")], "127.0.0.1"),
        ] {
            let mut headers = map(fields);
            add_forwarded(&mut headers, Ipv4Addr::LOCALHOST.into());
            let expected = [expected, "http"];
            assert_eq!(headers.len(), expected.len(), "{headers:?}");
            assert_eq!(
                [&headers[FORWARDED_FOR], &headers[FORWARDED_PROTO]],
                expected
            );
        }
    }

    #[test]
    fn cookies_become_one_field() {
        for (fields, expected) in [
            (&[][..], None),
            (&[("cookie", "a=1")], Some("a=1")),
            (&[("cookie", "a=1"), ("cookie", "b=2")], Some("a=1; b=2")),
        ] {
            let mut headers = map(fields);
            join_cookies(&mut headers);
            let cookies: Vec<_> = headers.get_all(COOKIE).iter().collect();
            assert_eq!(cookies, Vec::from_iter(expected));
        }
    }
}
