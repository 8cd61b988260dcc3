//! A socket to a server, set up so that a dead peer is noticed.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use redis::ConnectionAddr;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// How long a connection is idle before the system asks whether the other side lives, and how
/// often it asks then.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(2));

/// How long sent bytes may stay unacknowledged.
#[cfg(target_os = "linux")]
const USER_TIMEOUT: Duration = Duration::from_secs(10);

/// What a connection reads from and writes to.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send {}

impl<S: AsyncRead + AsyncWrite + Send> Stream for S {}

pub(crate) async fn open(at: &ConnectionAddr) -> io::Result<Pin<Box<dyn Stream>>> {
    match at {
        ConnectionAddr::Tcp(host, port) => tcp(host, *port).await,
        ConnectionAddr::Unix(path) => unix(path).await,
        _ => Err(io::Error::from(io::ErrorKind::Unsupported)),
    }
}

async fn tcp(host: &str, port: u16) -> io::Result<Pin<Box<dyn Stream>>> {
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    let (idle, interval) = KEEPALIVE;
    let keepalive = TcpKeepalive::new().with_time(idle).with_interval(interval);
    let socket = SockRef::from(&stream);
    socket.set_tcp_keepalive(&keepalive)?;
    // Keepalive stops while bytes wait for their acknowledgement; this does not.
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    Ok(Box::pin(stream))
}

#[cfg(unix)]
async fn unix(path: &Path) -> io::Result<Pin<Box<dyn Stream>>> {
    Ok(Box::pin(tokio::net::UnixStream::connect(path).await?))
}

#[cfg(not(unix))]
async fn unix(_path: &Path) -> io::Result<Pin<Box<dyn Stream>>> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}
