//! What the agent's program does besides connecting.

use super::dial::{DialError, dial, done};
use crate::endpoint::Endpoint;
use crate::labels::Labels;
use crate::token::Token;
use crate::wire::{Answer, Hello};
use std::time::Duration;

/// Has the edge send what is for `endpoint` to agents that `selector` fits, and to no others.
///
/// # Errors
///
/// The edge cannot be reached within `patience`, or refuses the token.
pub async fn route(
    edge: &str,
    token: Token,
    endpoint: Endpoint,
    selector: Labels,
    patience: Duration,
) -> Result<(), DialError> {
    let hello = Hello::Route {
        token,
        endpoint,
        selector,
    };
    done(edge, &hello, patience).await.map(drop)
}

/// Has the edge make a new token.
///
/// # Errors
///
/// The edge cannot be reached within `patience`.
pub async fn generate(edge: &str, patience: Duration) -> Result<Token, DialError> {
    match dial(edge, &Hello::Generate, patience).await? {
        (Answer::Token(token), _) => Ok(token),
        _ => Err(DialError::WrongAnswer(edge.to_owned())),
    }
}
