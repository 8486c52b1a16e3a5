//! Request bodies that can be sent once more.

use hyper::body::{Body, Bytes, Frame, SizeHint};
use std::error::Error;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

type BoxError = Box<dyn Error + Send + Sync>;

/// A request body that is streamed from its client and can be started over for as long as all of it that was sent is
/// still held: an agent says that its app cannot be reached only when the first bytes are on their way to it.
pub(super) struct Replay<B>(Arc<Mutex<Inner<B>>>);

/// One sending of the body.
pub(super) struct Attempt<B> {
    inner: Arc<Mutex<Inner<B>>>,
    number: usize,
    /// How many of the held chunks this attempt has given.
    given: usize,
}

struct Inner<B> {
    source: B,
    /// What the source gave so far, unless that is too much.
    held: Vec<Bytes>,
    /// How many more bytes may be held; none once a piece has gone that is not held.
    room: Option<usize>,
    /// Whether the source has said that there is no more; it must not be asked again.
    ended: bool,
    attempts: usize,
}

impl<B> Replay<B> {
    /// Wraps a body of which up to `limit` bytes are held.
    pub(super) fn new(source: B, limit: usize) -> Self {
        Replay(Arc::new(Mutex::new(Inner {
            source,
            held: Vec::new(),
            room: Some(limit),
            ended: false,
            attempts: 0,
        })))
    }

    /// Starts over, and ends the attempt before; none if something was sent that is not held.
    pub(super) fn attempt(&self) -> Option<Attempt<B>> {
        let mut inner = lock(&self.0);
        inner.room?;
        inner.attempts += 1;
        Some(Attempt {
            inner: Arc::clone(&self.0),
            number: inner.attempts,
            given: 0,
        })
    }
}

impl<B> Inner<B> {
    /// Takes note of a frame that the source gave.
    fn hold(&mut self, frame: &Frame<Bytes>) {
        let chunk = frame.data_ref();
        self.room = match (self.room, chunk) {
            (Some(room), Some(chunk)) => room.checked_sub(chunk.len()),
            // Trailers are the end of a body; holding them too is not worth its code.
            _ => None,
        };
        match (self.room, chunk) {
            (Some(_), Some(chunk)) => self.held.push(chunk.clone()),
            _ => self.held.clear(),
        }
    }
}

impl<B> Body for Attempt<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let mut inner = lock(&this.inner);
        // An attempt that is over may be polled until its stream is gone: it must not take what belongs to the next
        // one.
        if this.number != inner.attempts {
            return Poll::Ready(Some(Err("the request was sent to another agent".into())));
        }
        if let Some(chunk) = inner.held.get(this.given) {
            this.given += 1;
            return Poll::Ready(Some(Ok(Frame::data(chunk.clone()))));
        }
        while !inner.ended {
            let frame = match ready!(Pin::new(&mut inner.source).poll_frame(context)) {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                None => {
                    inner.ended = true;
                    continue;
                }
            };
            // HTTP/2 clients may send these, and an HTTP/2 server hangs up after a hundred of them on one connection,
            // which here carries the requests of all clients.
            if frame.data_ref().is_some_and(Bytes::is_empty) {
                continue;
            }
            inner.hold(&frame);
            this.given = inner.held.len();
            return Poll::Ready(Some(Ok(frame)));
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        let inner = lock(&self.inner);
        self.given >= inner.held.len() && (inner.ended || inner.source.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let inner = lock(&self.inner);
        let held = inner.held.iter().skip(self.given);
        let held: u64 = held.map(|chunk| chunk.len() as u64).sum();
        let source = inner.source.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(source.lower() + held);
        if let Some(upper) = source.upper() {
            hint.set_upper(upper + held);
        }
        hint
    }
}

fn lock<B>(inner: &Mutex<Inner<B>>) -> MutexGuard<'_, Inner<B>> {
    // Only the client's own body could panic under the lock, and it is not asked again after that.
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::channel::Channel;
    use http_body_util::{BodyExt, Full};
    use hyper::HeaderMap;

    const LIMIT: usize = 8;

    /// A body of these chunks.
    async fn body(chunks: &[&'static str]) -> Channel<Bytes, BoxError> {
        let (mut sender, body) = Channel::new(chunks.len().max(1));
        for chunk in chunks {
            sender
                .send_data(Bytes::from_static(chunk.as_bytes()))
                .await
                .unwrap();
        }
        body
    }

    /// The next chunk.
    async fn next<B>(attempt: &mut Attempt<B>) -> Option<Result<Bytes, String>>
    where
        Attempt<B>: Body<Data = Bytes, Error = BoxError>,
    {
        let frame = attempt.frame().await?;
        Some(
            frame
                .map(|frame| frame.into_data().unwrap())
                .map_err(|error| error.to_string()),
        )
    }

    #[tokio::test]
    async fn body_is_given_again_from_its_start() {
        let replay = Replay::new(body(&["one", "", "two", "3"]).await, LIMIT);
        let mut first = replay.attempt().unwrap();
        assert_eq!(next(&mut first).await, Some(Ok("one".into())));
        assert_eq!(next(&mut first).await, Some(Ok("two".into())));
        let mut second = replay.attempt().unwrap();
        for expected in ["one", "two", "3"] {
            assert_eq!(next(&mut second).await, Some(Ok(expected.into())));
        }
        assert_eq!(next(&mut second).await, None);
        let whole = replay.attempt().unwrap().collect().await.unwrap();
        assert_eq!(whole.to_bytes(), "onetwo3");
    }

    #[tokio::test]
    async fn body_longer_than_the_limit_is_given_once() {
        let replay = Replay::new(body(&["12345678", "9", "0"]).await, LIMIT);
        let mut first = replay.attempt().unwrap();
        next(&mut first).await;
        let mut second = replay.attempt().unwrap();
        for expected in ["12345678", "9", "0"] {
            assert_eq!(next(&mut second).await, Some(Ok(expected.into())));
        }
        assert_eq!(next(&mut second).await, None);
        assert!(replay.attempt().is_none());
    }

    #[tokio::test]
    async fn attempt_that_is_over_takes_nothing_from_the_next() {
        let replay = Replay::new(body(&["one", "two"]).await, LIMIT);
        let mut first = replay.attempt().unwrap();
        let second = replay.attempt().unwrap();
        assert_eq!(
            next(&mut first).await,
            Some(Err("the request was sent to another agent".into()))
        );
        assert_eq!(second.collect().await.unwrap().to_bytes(), "onetwo");
    }

    #[tokio::test]
    async fn body_with_trailers_is_given_once() {
        let source = Full::new(Bytes::from_static(b"one"))
            .with_trailers(async { Some(Ok(HeaderMap::new())) });
        let replay = Replay::new(Box::pin(source), LIMIT);
        let whole = replay.attempt().unwrap().collect().await.unwrap();
        assert!(whole.trailers().is_some());
        assert!(replay.attempt().is_none());
    }

    #[tokio::test]
    async fn size_counts_what_is_still_to_be_given() {
        let replay = Replay::new(Full::new(Bytes::from_static(b"four")), LIMIT);
        let mut first = replay.attempt().unwrap();
        assert_eq!(first.size_hint().exact(), Some(4));
        assert!(!first.is_end_stream());
        next(&mut first).await;
        assert_eq!(first.size_hint().exact(), Some(0));
        assert!(first.is_end_stream());
        let second = replay.attempt().unwrap();
        assert_eq!(second.size_hint().exact(), Some(4));
        assert!(!second.is_end_stream());
    }

    #[test]
    fn empty_body_is_at_its_end_at_once() {
        let replay = Replay::new(Full::new(Bytes::new()), LIMIT);
        assert!(replay.attempt().unwrap().is_end_stream());
    }
}
