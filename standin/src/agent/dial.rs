//! Dialling the edge.

use crate::net;
use crate::wire::{self, Answer, Hello, WireError};
use std::io;
use std::time::Duration;
use tokio::io::BufReader;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Dials, says hello, and gives the answer with the connection, which may hold bytes that came right behind the answer.
pub(super) async fn dial(
    edge: &str,
    hello: &Hello,
    patience: Duration,
) -> Result<(Answer, BufReader<TcpStream>), DialError> {
    let no_connection = |source| DialError::NoConnection {
        edge: edge.to_owned(),
        source,
    };
    let stream = timeout(patience, TcpStream::connect(edge))
        .await
        .map_err(|elapsed| no_connection(elapsed.into()))?
        .map_err(no_connection)?;
    net::send_at_once(&stream);
    let mut connection = BufReader::new(stream);
    let no_answer = |source| DialError::NoAnswer {
        edge: edge.to_owned(),
        source,
    };
    wire::write(&mut connection, hello)
        .await
        .map_err(no_answer)?;
    match wire::read(&mut connection, patience)
        .await
        .map_err(no_answer)?
    {
        Answer::Refused(why) => Err(DialError::Refused {
            edge: edge.to_owned(),
            why,
        }),
        answer => Ok((answer, connection)),
    }
}

/// Dials with a hello that is answered by [`Answer::Done`].
pub(super) async fn done(
    edge: &str,
    hello: &Hello,
    patience: Duration,
) -> Result<BufReader<TcpStream>, DialError> {
    match dial(edge, hello, patience).await? {
        (Answer::Done, connection) => Ok(connection),
        _ => Err(DialError::WrongAnswer(edge.to_owned())),
    }
}

/// Errors that can occur when the edge is dialled.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// There is no connection.
    #[error("cannot connect to the edge at {edge} (BACKPLANE_EDGE): {source}")]
    NoConnection {
        /// The address that was dialled.
        edge: String,
        /// What the system says.
        source: io::Error,
    },
    /// There is a connection, and no answer on it.
    #[error("no answer from the edge at {edge} (BACKPLANE_EDGE): {source}")]
    NoAnswer {
        /// The address that was dialled.
        edge: String,
        /// What went wrong.
        source: WireError,
    },
    /// The edge does not do what it was asked for.
    #[error("refused by the edge at {edge}: {why}")]
    Refused {
        /// The address that was dialled.
        edge: String,
        /// The edge's words.
        why: String,
    },
    /// The edge answers something that was not asked.
    #[error("the edge at {0} gives an answer that does not fit; is it of another version?")]
    WrongAnswer(String),
}
