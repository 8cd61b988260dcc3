//! A connection that fails when its peer does not read.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// A stream whose writes fail once the peer has read nothing for a while. Otherwise a peer that asks, and
/// does not read, would keep its connection for ever.
pub(super) struct ReaderLimit<S> {
    stream: S,
    patience: Duration,
    /// The time at which a write that waits fails.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<S> ReaderLimit<S> {
    pub(super) fn new(stream: S, patience: Duration) -> Self {
        Self {
            stream,
            patience,
            deadline: None,
        }
    }

    /// Passes on the result of a write, or the error of one that waits for too long.
    fn limited<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.deadline = None;
            return written;
        }
        let begin = || Box::pin(sleep(self.patience));
        ready!(self.deadline.get_or_insert_with(begin).as_mut().poll(cx));
        let error = "the peer does not read what it asked for";
        Poll::Ready(Err(io::Error::new(ErrorKind::TimedOut, error)))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ReaderLimit<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ReaderLimit<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.limited(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.limited(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.limited(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let closed = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.limited(cx, closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    #[tokio::test]
    async fn a_write_fails_when_the_peer_does_not_read() {
        let (ours, _peer) = duplex(8);
        let mut ours = ReaderLimit::new(ours, Duration::from_millis(50));
        let error = ours.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_slow_peer_that_reads_gets_everything() {
        let (ours, mut peer) = duplex(8);
        let mut ours = ReaderLimit::new(ours, Duration::from_secs(1));
        let write = async {
            ours.write_all(&[7; 64]).await.unwrap();
            ours.shutdown().await.unwrap();
        };
        let read = async {
            let mut all = Vec::new();
            for _ in 0..64 {
                sleep(Duration::from_millis(20)).await;
                all.push(peer.read_u8().await.unwrap());
            }
            all
        };
        let ((), all) = tokio::join!(write, read);
        assert_eq!(all, [7; 64]);
    }
}
