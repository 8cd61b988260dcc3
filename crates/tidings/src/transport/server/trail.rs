//! A record of a server's first bytes and of the end of its connection, for errors that say why.

use std::future::pending;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::error::connect::ConnectError;

/// The number of recorded bytes: more than the longest error that Redis sends at accept.
const RECORDED: usize = 2_048;

/// The time after which an error that is all that a server sent counts as the reply to everything.
const ALONE: Duration = Duration::from_millis(200);

/// The first bytes of a TLS alert.
const ALERT: [u8; 2] = [0x15, 0x03];

/// The first bytes of replies that are no errors, in both versions of the protocol.
const ANSWERS: &[u8] = b"+:$*_#,(!=%|~>";

/// The record of one connection.
#[derive(Clone, Default)]
pub(crate) struct Trail(Arc<Recording>);

#[derive(Default)]
struct Recording {
    seen: Mutex<Seen>,
    /// Notified when the server has sent something.
    has_begun: Notify,
}

#[derive(Default)]
struct Seen {
    first: Vec<u8>,
    end: Option<(io::ErrorKind, String)>,
}

/// The kind of a server's first bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Nothing,
    /// It expects TLS.
    Alert,
    /// A reply of Redis that is no error.
    Answer,
    /// An error of Redis.
    Error(String),
    /// A line of another protocol.
    Other(String),
}

impl Trail {
    /// Records a stream from its beginning.
    pub(crate) fn follow<S>(&self, stream: S) -> Followed<S> {
        Followed {
            stream,
            trail: self.clone(),
            left: RECORDED,
        }
    }

    /// The reason why the connection ended, if it did.
    pub(crate) fn end(&self) -> Option<io::Error> {
        let (kind, words) = self.lock().end.clone()?;
        Some(io::Error::new(kind, words))
    }

    /// The same, as a connection error.
    pub(crate) fn lost(&self, doing: &'static str) -> ConnectError {
        let end = self.end();
        end.map_or(ConnectError::Lost, |source| ConnectError::Io {
            doing,
            source,
        })
    }

    pub(crate) fn said(&self) -> Said {
        let first = &self.lock().first;
        let line = first.split(|byte| b"\r\n".contains(byte)).next();
        let line = String::from_utf8_lossy(line.unwrap_or_default());
        match first.as_slice() {
            [] => Said::Nothing,
            bytes if bytes.starts_with(&ALERT) => Said::Alert,
            [first, ..] if ANSWERS.contains(first) => Said::Answer,
            [b'-', ..] => Said::Error(line[1..].to_owned()),
            _ => Said::Other(line.into_owned()),
        }
    }

    /// Returns the error that is all that a server sent: it rejects this client, and may leave the
    /// connection open.
    pub(crate) async fn refusal(&self) -> String {
        self.0.has_begun.notified().await;
        sleep(ALONE).await;
        match self.said() {
            Said::Error(words) => words,
            _ => pending().await,
        }
    }

    fn ended(&self, error: &io::Error) {
        let end = (error.kind(), error.to_string());
        self.lock().end.get_or_insert(end);
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        let seen = self.0.seen.lock();
        seen.unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream that is recorded in a [`Trail`].
pub(crate) struct Followed<S> {
    stream: S,
    trail: Trail,
    /// The number of bytes that are still recorded.
    left: usize,
}

impl<S: AsyncRead + Unpin> AsyncRead for Followed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (before, has_room) = (buffer.filled().len(), buffer.remaining() > 0);
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        match &read {
            Poll::Ready(Ok(())) if has_room && buffer.filled().len() == before => {
                let end = io::ErrorKind::UnexpectedEof;
                let end = io::Error::new(end, "the server closed the connection");
                self.trail.ended(&end);
            }
            Poll::Ready(Ok(())) if self.left > 0 => {
                let read = &buffer.filled()[before..];
                let recorded = &read[..read.len().min(self.left)];
                self.trail.lock().first.extend_from_slice(recorded);
                self.left -= recorded.len();
                self.trail.0.has_begun.notify_one();
            }
            Poll::Ready(Err(error)) => self.trail.ended(error),
            _ => {}
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Followed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        let Poll::Ready(Err(error)) = &written else {
            return written;
        };
        self.trail.ended(error);
        let hung_up = matches!(
            error.kind(),
            BrokenPipe | ConnectionAborted | ConnectionReset
        );
        if hung_up && self.left == RECORDED {
            // The server's error can still be read, followed by the end.
            return Poll::Ready(Ok(bytes.len()));
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    async fn said(words: &[u8]) -> Said {
        let trail = Trail::default();
        let mut followed = trail.follow(words);
        followed.read_to_end(&mut Vec::new()).await.unwrap();
        trail.said()
    }

    #[tokio::test]
    async fn the_first_line_shows_the_protocol() {
        assert_eq!(said(b"").await, Said::Nothing);
        assert_eq!(said(b"\x15\x03\x03\0\x02").await, Said::Alert);
        let busy = Said::Error("ERR busy".to_owned());
        assert_eq!(said(b"-ERR busy\r\n-ERR more\r\n").await, busy);
        let other = Said::Other("SSH-2.0".to_owned());
        assert_eq!(said(b"SSH-2.0\n").await, other);
        assert_eq!(said(b"%1\r\n+proto\r\n:3\r\n").await, Said::Answer);
        assert!(matches!(said(&[0xff; 10_000]).await, Said::Other(_)));
    }

    #[tokio::test]
    async fn an_error_before_the_end_is_read_although_writing_fails() {
        let (near, mut far) = duplex(64);
        far.write_all(b"-ERR busy\r\n").await.unwrap();
        drop(far);
        let trail = Trail::default();
        let mut followed = trail.follow(near);

        followed.write_all(b"HELLO").await.unwrap();
        followed.read_to_end(&mut Vec::new()).await.unwrap();

        assert_eq!(trail.said(), Said::Error("ERR busy".to_owned()));
        assert!(trail.end().is_some());
        followed.write_all(b"HELLO").await.unwrap_err();
    }
}
