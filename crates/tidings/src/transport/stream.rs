//! A socket to a server, set up so that a dead peer is noticed and reading can be held back.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use redis::ConnectionAddr;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::error::ConnectError;
use crate::tls::Tls;
use crate::transport::tls;
use crate::transport::watch::{Tcp, Watch};

/// How long a connection is idle before the system asks whether the other side lives, and how
/// often it asks then.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(2));

/// How long sent bytes may stay unacknowledged.
#[cfg(target_os = "linux")]
const USER_TIMEOUT: Duration = Duration::from_secs(10);

/// What a connection reads from and writes to.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send {}

impl<S: AsyncRead + AsyncWrite + Send> Stream for S {}

/// Connects, and agrees on TLS where that is wanted.
pub(crate) async fn open(
    doing: &'static str,
    at: &ConnectionAddr,
    tls: Option<&Tls>,
    watch: Watch,
) -> Result<Pin<Box<dyn Stream>>, ConnectError> {
    let opened = match (at, tls) {
        (ConnectionAddr::Tcp(host, port), None) => tcp(host, *port, watch).await.map(boxed),
        (ConnectionAddr::Tcp(host, port), Some(tls)) => match tcp(host, *port, watch).await {
            Ok(tcp) => return tls::agree(doing, tls, host, tcp).await,
            Err(source) => Err(source),
        },
        (ConnectionAddr::Unix(path), _) => unix(path).await,
        _ => Err(io::ErrorKind::Unsupported.into()),
    };
    opened.map_err(|source| ConnectError::Io { doing, source })
}

fn boxed(stream: impl Stream + 'static) -> Pin<Box<dyn Stream>> {
    Box::pin(stream)
}

async fn tcp(host: &str, port: u16, watch: Watch) -> io::Result<Tcp> {
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    let (idle, interval) = KEEPALIVE;
    let keepalive = TcpKeepalive::new().with_time(idle).with_interval(interval);
    let socket = SockRef::from(&stream);
    socket.set_tcp_keepalive(&keepalive)?;
    // Keepalive stops while bytes wait for their acknowledgement; this does not.
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    Ok(Tcp::new(stream, watch))
}

#[cfg(unix)]
async fn unix(path: &Path) -> io::Result<Pin<Box<dyn Stream>>> {
    Ok(Box::pin(tokio::net::UnixStream::connect(path).await?))
}

#[cfg(not(unix))]
async fn unix(_path: &Path) -> io::Result<Pin<Box<dyn Stream>>> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}

/// How many bytes may still be read. A connection reads all that is there when it is polled; this
/// makes it stop, so that what was read can be handed over before more is.
#[derive(Clone, Debug)]
pub(crate) struct Allowance(Arc<AtomicUsize>);

impl Allowance {
    pub(crate) fn new(bytes: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(bytes)))
    }

    pub(crate) fn renew(&self, bytes: usize) {
        self.0.store(bytes, Ordering::Relaxed);
    }
}

/// A stream that is read only as far as it is allowed.
pub(crate) struct Metered<S> {
    pub(crate) stream: S,
    pub(crate) allowance: Allowance,
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let left = self.allowance.0.load(Ordering::Relaxed);
        if left == 0 {
            // Who renews the allowance does so when it is polled again.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let left = left.saturating_sub(buffer.filled().len() - before);
        self.allowance.renew(left);
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
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
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn reading_stops_at_the_allowance_and_goes_on_when_it_is_renewed() {
        let allowance = Allowance::new(4);
        let mut metered = Metered {
            stream: &b"abcdefgh"[..],
            allowance: allowance.clone(),
        };
        let mut buffer = [0; 4];
        metered.read_exact(&mut buffer).await.unwrap();
        assert!(futures_util::poll!(std::pin::pin!(metered.read_exact(&mut buffer))).is_pending());
        allowance.renew(4);
        metered.read_exact(&mut buffer).await.unwrap();
        assert_eq!(&buffer, b"efgh");
    }
}
