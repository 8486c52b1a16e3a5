//! Any bytes as the settings of a build: nothing panics, and nothing that it says has a control
//! character or a secret of a URL.
#![no_main]

use backplane_buildpack::fuzzing;
use libfuzzer_sys::fuzz_target;

/// What a secret is made of: two letters that no message has, and what has a meaning in a URL.
const SECRET: [&str; 10] = ["Ω", "ß", "{", "}", ":", "/", "?", "#", "%", "@"];

fuzz_target!(|input: (u8, [&[u8]; 4], &[u8], &[u8], &[u8])| {
    let (start, values, user, host, end) = input;
    let said = fuzzing::settings(values);
    assert!(
        !said.contains(|char: char| char.is_control() && char != '\n'),
        "{said}"
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
    for place in 0..4 {
        let mut values = [&b""[..], b"", pin.as_bytes(), b""];
        values[place] = url.as_bytes();
        let said = fuzzing::settings(values);
        assert!(
            !said.contains(['Ω', 'ß']) && !said.contains("%CE%A9"),
            "{url}\n{said}"
        );
    }
});

fn secret(bytes: &[u8]) -> String {
    let part = |byte: &u8| SECRET[usize::from(*byte) % SECRET.len()];
    bytes.iter().map(part).collect()
}
