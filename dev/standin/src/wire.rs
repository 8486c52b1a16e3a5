//! The protocol between agent and edge. **It is not Backplane's wire protocol.**
//!
//! A client of the edge's agent listener writes one line of JSON, a [`Hello`], and reads one line
//! of JSON, an [`Answer`]. That ends the conversation, except after an accepted `connect`: then the
//! roles reverse, the edge speaks HTTP/2 as the client and the agent as the server (prior
//! knowledge, RFC 9113 section 3.3). A request that the agent could not give to its app, so that no
//! byte of it got there, is reset with `REFUSED_STREAM`, which means just that (RFC 9113 section
//! 8.7).

use crate::labels::Labels;
use anyhow::{Context as _, Result, bail, ensure};
use hyper::HeaderMap;
use hyper::header::{CONNECTION, HeaderName, TE, TRANSFER_ENCODING, UPGRADE};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// The longest line, in bytes, that either side reads.
const MAX_LINE: u64 = 16 * 1024;

/// How long a line may take.
const LINE_TIMEOUT: Duration = Duration::from_secs(10);

/// How many bytes of one body may be on their way unread. Small, so that a body streams and is not
/// collected; the HTTP/2 default (RFC 9113 section 6.9.2).
pub(crate) const STREAM_WINDOW: u32 = 65_535;

/// How many requests one connection carries at once; more wait their turn.
pub(crate) const MAX_STREAMS: u32 = 1_000;

/// How many bytes of all bodies together may be on their way unread: enough for all of them, so
/// that a body that is not read never holds up another.
pub(crate) const CONNECTION_WINDOW: u32 = STREAM_WINDOW * MAX_STREAMS;

/// How long the HTTP/2 connection may be silent before a ping is sent, to find out whether the
/// other end is still there. Slow enough for a machine that is busy compiling, and for a container
/// that is paused for a moment.
pub(crate) const PING_INTERVAL: Duration = Duration::from_secs(5);

/// How long the answer to a ping may take before the connection counts as lost.
pub(crate) const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// A client's first line.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Hello {
    /// An agent offers to serve requests.
    Connect { token: String, labels: Labels },
    /// Stores a route, in place of an older one for that endpoint.
    Route {
        token: String,
        endpoint: String,
        selector: Labels,
    },
    /// A new token is asked for. Every client of the agent listener may have one.
    Generate,
}

/// The edge's answer.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    /// It is done.
    Done,
    /// The new token.
    Token(String),
    /// It is not done, and why, for the user.
    Refused(String),
}

/// Reads one line of JSON; `reader` is left right behind the line.
pub(crate) async fn read<T: DeserializeOwned>(
    reader: &mut (impl AsyncBufRead + Unpin),
) -> Result<T> {
    let mut line = Vec::new();
    let mut reader = reader.take(MAX_LINE);
    let read = timeout(LINE_TIMEOUT, reader.read_until(b'\n', &mut line));
    let read = read.await.context("the other side is silent")??;
    if line.pop() != Some(b'\n') {
        ensure!(
            read as u64 != MAX_LINE,
            "the line is longer than {MAX_LINE} bytes"
        );
        bail!("the connection was closed in the middle of a line");
    }
    serde_json::from_slice(&line).context("the line is not of this protocol")
}

/// Writes one line of JSON.
pub(crate) async fn write(
    writer: &mut (impl AsyncWrite + Unpin),
    message: &impl Serialize,
) -> Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(writer.write_all(&line).await?)
}

/// Removes what is meant for the next hop alone: what `Connection` names, `Connection` itself, and
/// the fields that RFC 9110, section 7.6.1, lists because not every sender names them.
pub(crate) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
    const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
    let options = headers.get_all(CONNECTION).iter();
    let options = options.filter_map(|value| value.to_str().ok());
    let named =
        options.flat_map(|value| value.split(',').filter_map(|name| name.trim().parse().ok()));
    let named: Vec<HeaderName> = named.collect();
    let always = [
        CONNECTION,
        KEEP_ALIVE,
        PROXY_CONNECTION,
        TE,
        TRANSFER_ENCODING,
        UPGRADE,
    ];
    for name in always.into_iter().chain(named) {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::BufReader;

    #[tokio::test]
    async fn line_that_is_no_hello_is_refused() {
        let too_long = vec![b' '; usize::try_from(MAX_LINE).unwrap() + 1];
        for (bytes, expected) in [
            (
                &b"\"generate\""[..],
                "the connection was closed in the middle of a line",
            ),
            (&too_long, "the line is longer than 16384 bytes"),
            (b"GET / HTTP/1.1\r\n", "the line is not of this protocol"),
            (b"\"sudo\"\n", "the line is not of this protocol"),
        ] {
            let error = read::<Hello>(&mut BufReader::new(bytes)).await.unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
    }

    #[tokio::test]
    async fn what_follows_the_line_stays_in_the_reader() {
        let mut reader = BufReader::new(&b"\"done\"\nPRI * HTTP/2.0"[..]);
        assert_eq!(read::<Answer>(&mut reader).await.unwrap(), Answer::Done);
        let mut rest = String::new();
        reader.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "PRI * HTTP/2.0");
    }
}
