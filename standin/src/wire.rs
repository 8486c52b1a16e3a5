//! What agent and edge say to one another. **This is not Backplane's wire protocol.**
//!
//! Whoever dials the edge's agent listener says one line of JSON, a [`Hello`], and gets one line of JSON back, an
//! [`Answer`]. That ends the conversation, except after an accepted `connect`: then the roles reverse, the edge
//! speaks HTTP/2 as the client and the agent as the server (prior knowledge, RFC 9113 section 3.3). A request that
//! the agent could not give to its app, so that no byte of it got there, is reset with `REFUSED_STREAM`, which says
//! just that (RFC 9113 section 8.7).

use crate::endpoint::Endpoint;
use crate::labels::Labels;
use crate::token::Token;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// The longest line, in bytes, that either side reads.
const MAX_LINE: u64 = 16 * 1024;

/// How many bytes of one body may be on their way unread. Small, so that a body streams and is not collected; the
/// HTTP/2 default (RFC 9113 section 6.9.2).
pub(crate) const STREAM_WINDOW: u32 = 65_535;

/// How many requests one connection carries at once; more wait their turn.
pub(crate) const MAX_STREAMS: u32 = 1_000;

/// How many bytes of all bodies together may be on their way unread: enough for all of them, so that a body that
/// nobody reads never holds up another.
pub(crate) const CONNECTION_WINDOW: u32 = STREAM_WINDOW * MAX_STREAMS;

/// How the HTTP/2 connection finds out that its other end is gone without a word.
#[derive(Debug, Clone, Copy)]
pub struct KeepAlive {
    /// How long the connection may be silent before a ping is sent.
    pub interval: Duration,
    /// How long the answer to a ping may take before the connection counts as lost.
    pub timeout: Duration,
}

impl Default for KeepAlive {
    /// Slow enough for a machine that is busy compiling, and for a container that is paused for a moment.
    fn default() -> Self {
        KeepAlive {
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(10),
        }
    }
}

/// What is said to the edge first.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Hello {
    /// An agent offers to serve requests.
    Connect { token: Token, labels: Labels },
    /// A route is to be stored, in place of any older one for that endpoint.
    Route {
        token: Token,
        endpoint: Endpoint,
        selector: Labels,
    },
    /// A new token is asked for. Whoever reaches the agent listener may have one.
    Generate,
}

/// What the edge answers.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    /// It is done.
    Done,
    /// Here is the new token.
    Token(Token),
    /// It is not done, and why, in words for the user.
    Refused(String),
}

/// Reads one line of JSON; `reader` is left right behind the line.
pub(crate) async fn read<T: DeserializeOwned>(
    reader: &mut (impl AsyncBufRead + Unpin),
    patience: Duration,
) -> Result<T, WireError> {
    let mut line = Vec::new();
    let read = timeout(patience, reader.take(MAX_LINE).read_until(b'\n', &mut line))
        .await
        .map_err(|_| WireError::TooLate(patience))?
        .map_err(WireError::Transport)?;
    match line.pop() {
        Some(b'\n') => serde_json::from_slice(&line).map_err(WireError::NotUnderstood),
        Some(_) if read as u64 == MAX_LINE => Err(WireError::TooLong),
        _ => Err(WireError::Closed),
    }
}

/// Writes one line of JSON.
pub(crate) async fn write(
    writer: &mut (impl AsyncWrite + Unpin),
    message: &impl Serialize,
) -> Result<(), WireError> {
    let mut line = serde_json::to_vec(message).map_err(WireError::NotUnderstood)?;
    line.push(b'\n');
    writer.write_all(&line).await.map_err(WireError::Transport)
}

/// Errors that can occur when one line is said to or heard from the other side.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The connection ended before the line did.
    #[error("the connection was closed in the middle of a line")]
    Closed,
    /// The line is not JSON, or not a message of this protocol.
    #[error("what was said is not understood: {0}")]
    NotUnderstood(serde_json::Error),
    /// No whole line came in this time.
    #[error("nothing was said for {0:?}")]
    TooLate(Duration),
    /// The line has no end within the limit.
    #[error("the line is longer than {MAX_LINE} bytes")]
    TooLong,
    /// The connection failed.
    #[error("{0}")]
    Transport(io::Error),
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::BufReader;

    const PATIENCE: Duration = Duration::from_secs(10);

    async fn read_hello(bytes: &[u8]) -> Result<Hello, WireError> {
        read(&mut BufReader::new(bytes), PATIENCE).await
    }

    #[tokio::test]
    async fn hello_survives_the_way() {
        for hello in [
            Hello::Connect {
                token: String::from("secret").into(),
                labels: "some=label".parse().unwrap(),
            },
            Hello::Route {
                token: String::from("secret").into(),
                endpoint: "myendpoint.test".parse().unwrap(),
                selector: "some=label".parse().unwrap(),
            },
            Hello::Generate,
        ] {
            let mut line = Vec::new();
            write(&mut line, &hello).await.unwrap();
            assert_eq!(read_hello(&line).await.unwrap(), hello);
        }
    }

    #[tokio::test]
    async fn hello_that_is_none_is_refused() {
        let too_long = vec![b' '; usize::try_from(MAX_LINE).unwrap() + 1];
        for (bytes, expected) in [
            (
                &b""[..],
                "the connection was closed in the middle of a line",
            ),
            (
                &br#""generate""#[..],
                "the connection was closed in the middle of a line",
            ),
            (&too_long, "the line is longer than 16384 bytes"),
            (
                &b"GET / HTTP/1.1\r\n"[..],
                "what was said is not understood: expected value",
            ),
            (
                &b"\"sudo\"\n"[..],
                "what was said is not understood: unknown variant",
            ),
            (
                &b"{\"connect\":{\"token\":\"t\",\"labels\":\"web\"}}\n"[..],
                "what was said is not understood: the label `web` is not of the form key=value",
            ),
        ] {
            let error = read_hello(bytes).await.unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[tokio::test]
    async fn silence_is_borne_for_so_long_only() {
        let (_kept_open, silent) = tokio::io::duplex(8);
        let patience = Duration::from_millis(5);
        let error = read::<Hello>(&mut BufReader::new(silent), patience)
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "nothing was said for 5ms");
    }

    #[tokio::test]
    async fn what_follows_the_line_stays_in_the_reader() {
        let mut reader = BufReader::new(&b"\"done\"\nPRI * HTTP/2.0"[..]);
        assert_eq!(
            read::<Answer>(&mut reader, PATIENCE).await.unwrap(),
            Answer::Done
        );
        let mut rest = String::new();
        reader.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "PRI * HTTP/2.0");
    }
}
