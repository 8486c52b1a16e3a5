//! The user info of a URL as a header.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::percent_decode_str;
use url::Url;

/// The credentials of a server or a proxy ([RFC
/// 7617](https://www.rfc-editor.org/rfc/rfc7617.html)).
pub(super) fn basic_credentials(url: &Url) -> Option<String> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let decode = |text| percent_decode_str(text).collect::<Vec<u8>>();
    let user = decode(url.username());
    let password = decode(url.password().unwrap_or_default());
    let pair = [&user[..], b":", &password].concat();
    Some(format!("Basic {}", BASE64_STANDARD.encode(pair)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::http::tests::basic;
    use crate::redact::without_user_info;

    #[test]
    fn credentials_move_from_the_url_to_a_header() {
        let url = Url::parse("https://us%40er:p%3Ass@host/path?key=1").unwrap();
        assert_eq!(without_user_info(&url).as_str(), "https://host/path?key=1");
        assert_eq!(basic_credentials(&url), Some(basic("us@er:p:ss")));
        assert_eq!(basic_credentials(&without_user_info(&url)), None);
    }
}
