//! A TCP connection whose wake-ups can be turned off.

use std::io::{self, Read};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::resp::Stream;

/// A connection after the TLS handshake, if TLS is wanted, and then the certificate of the server, in
/// DER.
pub(crate) type Agreed = (Pin<Box<dyn Stream>>, Option<Vec<u8>>);

/// Turns the wake-ups for arriving data on and off.
#[derive(Clone, Debug)]
pub(crate) struct Readiness(Arc<AtomicBool>);

impl Readiness {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }

    pub(crate) fn set(&self, is_watched: bool) {
        self.0.store(is_watched, Ordering::Relaxed);
    }
}

/// A TCP connection that is registered with the runtime only while wake-ups are on. Without them,
/// arriving data wakes no thread.
pub(crate) struct Tcp {
    state: State,
    pub(crate) watch: Readiness,
}

enum State {
    Watched(TcpStream),
    Unwatched(std::net::TcpStream),
    /// A change of the registration failed.
    Lost,
}

impl Tcp {
    pub(crate) fn new(stream: TcpStream) -> Self {
        let (state, watch) = (State::Watched(stream), Readiness::new());
        Self { state, watch }
    }

    /// The connection, registered or not.
    fn turn(&mut self, is_watched: bool) -> io::Result<&mut State> {
        self.state = match (std::mem::replace(&mut self.state, State::Lost), is_watched) {
            (State::Watched(stream), false) => State::Unwatched(stream.into_std()?),
            (State::Unwatched(stream), true) => State::Watched(TcpStream::from_std(stream)?),
            (state, _) => state,
        };
        Ok(&mut self.state)
    }

    /// The connection for writing, which needs wake-ups.
    fn watched(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        match self.turn(true)? {
            State::Watched(stream) => Ok(Pin::new(stream)),
            State::Unwatched(_) | State::Lost => Err(lost()),
        }
    }
}

fn lost() -> io::Error {
    io::Error::from(io::ErrorKind::NotConnected)
}

/// Reads available data.
fn read_now(stream: &mut std::net::TcpStream, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
    loop {
        match stream.read(buffer.initialize_unfilled()) {
            Ok(bytes) => {
                buffer.advance(bytes);
                return Poll::Ready(Ok(()));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Poll::Ready(Err(error)),
        }
    }
}

impl AsyncRead for Tcp {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let is_watched = self.watch.0.load(Ordering::Relaxed);
        match self.turn(is_watched)? {
            State::Watched(stream) => Pin::new(stream).poll_read(cx, buffer),
            State::Unwatched(stream) => read_now(stream, buffer),
            State::Lost => Poll::Ready(Err(lost())),
        }
    }
}

impl AsyncWrite for Tcp {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.watched()?.poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // There is no buffer.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.watched()?.poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (Tcp, Readiness, TcpStream) {
        let place = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(place.local_addr().unwrap())
            .await
            .unwrap();
        let (far, _) = place.accept().await.unwrap();
        let near = Tcp::new(near);
        let watch = near.watch.clone();
        (near, watch, far)
    }

    #[tokio::test]
    async fn data_that_arrives_without_wake_ups_is_found_by_a_poll() {
        let (mut near, watch, mut far) = pair().await;
        watch.set(false);
        let mut bytes = [0; 2];
        assert!(futures_util::poll!(std::pin::pin!(near.read(&mut bytes))).is_pending());
        far.write_all(b"ab").await.unwrap();
        while futures_util::poll!(std::pin::pin!(near.read(&mut bytes))).is_pending() {
            tokio::task::yield_now().await;
        }
        assert_eq!(&bytes, b"ab");
    }

    #[tokio::test]
    async fn data_that_arrived_without_wake_ups_ends_the_first_wait_with_them() {
        let (mut near, watch, mut far) = pair().await;
        watch.set(false);
        let mut bytes = [0; 2];
        assert!(futures_util::poll!(std::pin::pin!(near.read(&mut bytes))).is_pending());
        far.write_all(b"ab").await.unwrap();
        watch.set(true);
        near.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"ab");
        near.write_all(b"cd").await.unwrap();
        far.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"cd");
    }

    #[tokio::test]
    async fn the_end_of_a_connection_without_wake_ups_is_found_by_a_poll() {
        let (mut near, watch, far) = pair().await;
        watch.set(false);
        drop(far);
        let mut bytes = [0; 2];
        let end = loop {
            let read = near.read(&mut bytes);
            if let Poll::Ready(end) = futures_util::poll!(std::pin::pin!(read)) {
                break end;
            }
            tokio::task::yield_now().await;
        };
        assert_eq!(end.unwrap(), 0);
    }
}
