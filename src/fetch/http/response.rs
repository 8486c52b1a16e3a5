//! The headers of a response.

use std::time::{Duration, SystemTime};

use ureq::Body;
use ureq::http::{Response, Version, header};

use super::error::{HttpError, ProxyName, ProxyProblem};
use crate::fetch::download::Validators;

/// The validators that can be sent with the next request.
pub(super) fn validators(response: &Response<Body>) -> Validators {
    let validator = |name| text(response, name).filter(|value| Validators::is_usable(value));
    Validators {
        etag: validator(header::ETAG),
        last_modified: validator(header::LAST_MODIFIED),
    }
}

/// Why a response is not the file.
pub(super) fn refusal(response: &Response<Body>, proxy: Option<ProxyName>) -> HttpError {
    let status = response.status().as_u16();
    match proxy {
        Some(proxy) if status == 407 => HttpError::Proxy {
            proxy,
            problem: ProxyProblem::Credentials,
        },
        proxy => HttpError::Status {
            status,
            retry_after: text(response, header::RETRY_AFTER)
                .and_then(|value| retry_after(&value, SystemTime::now())),
            is_rate_limit: status == 403 && is_rate_limited(response),
            proxy,
        },
    }
}

/// Whether the headers indicate too many requests.
fn is_rate_limited(response: &Response<Body>) -> bool {
    const REMAINING: [&str; 3] = [
        "ratelimit-remaining",
        "x-ratelimit-remaining",
        "x-rate-limit-remaining",
    ];
    let headers = response.headers();
    headers.contains_key(header::RETRY_AFTER)
        || REMAINING
            .iter()
            .any(|name| headers.get(*name).is_some_and(|value| value == "0"))
}

/// Whether the body marks its own end. The library ignores that for HTTP 1.0.
pub(super) fn is_chunked(response: &Response<Body>) -> bool {
    response.version() != Version::HTTP_10
        && response
            .headers()
            .get_all(header::TRANSFER_ENCODING)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|coding| coding.trim().eq_ignore_ascii_case("chunked"))
}

/// How long the server asks to wait
/// ([RFC 9110, section 10.2.3](https://www.rfc-editor.org/rfc/rfc9110.html#section-10.2.3)).
fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value.trim()).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

fn text(response: &Response<Body>, name: header::HeaderName) -> Option<String> {
    let value = response.headers().get(name)?.to_str().ok()?;
    Some(value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_has_two_forms() {
        let now = httpdate::parse_http_date("Wed, 21 Oct 2015 07:28:00 GMT").unwrap();
        for (value, seconds) in [
            ("7", Some(7)),
            (" 7 ", Some(7)),
            ("Wed, 21 Oct 2015 07:28:09 GMT", Some(9)),
            ("Wed, 21 Oct 2015 07:27:00 GMT", Some(0)),
            ("-1", None),
            ("soon", None),
        ] {
            let expected = seconds.map(Duration::from_secs);
            assert_eq!(retry_after(value, now), expected, "{value}");
        }
    }
}
