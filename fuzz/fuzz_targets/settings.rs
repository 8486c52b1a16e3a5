//! Any bytes as the settings of a build: nothing panics, and the log has no control character and
//! no secret of a URL.
#![no_main]

use backplane_buildpack::fuzzing;
use libfuzzer_sys::fuzz_target;

/// What a secret is made of: two letters that no message has, and what has a meaning in a URL.
const SECRET: [&str; 10] = ["Ω", "ß", "{", "}", ":", "/", "?", "#", "%", "@"];

fuzz_target!(|input: (u8, [&[u8]; 6], &[u8], &[u8], &[u8])| {
    let (start, values, user, host, end) = input;
    let log = fuzzing::settings(values);
    assert!(
        !log.contains(|char: char| char.is_control() && char != '\n'),
        "{log}"
    );

    let starts = ["https://", "http://", "ftp://", "https:", "\"https://", "'"];
    let start = starts[usize::from(start) % starts.len()];
    let (user, end) = (secret(user), secret(end));
    let host: String = host
        .iter()
        .map(|byte| char::from(b"abc.:/{}0"[usize::from(*byte) % 9]))
        .collect();
    // Before `://` is a scheme, which is no secret.
    let user = user.replace("://", "");
    let url = format!("{start}Ω{user}@{host}?{end}");
    let pin = "0".repeat(64);
    for index in 0..6 {
        let mut values = [&b""[..], b"", b"", b"", pin.as_bytes(), b""];
        values[index] = url.as_bytes();
        let log = fuzzing::settings(values);
        assert!(
            !log.contains(['Ω', 'ß']) && !log.contains("%CE%A9"),
            "{url}\n{log}"
        );
    }
});

fn secret(bytes: &[u8]) -> String {
    let part = |byte: &u8| SECRET[usize::from(*byte) % SECRET.len()];
    bytes.iter().map(part).collect()
}
