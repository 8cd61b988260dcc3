//! A socket to a server: it detects a dead peer.

use std::io;
use std::net::SocketAddr;
#[cfg(unix)]
use std::path::PathBuf;
use std::time::Duration;

use redis::ConnectionAddr;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, lookup_host};

use crate::error::connect::ConnectError;
use crate::transport::server::race::in_turns;
use crate::transport::server::tcp::{Agreed, Readiness, Tcp};
use crate::transport::server::tls;
use crate::transport::tls::Tls;

/// The idle time before the first TCP keepalive, and the interval of the next ones.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(2));

/// The maximum time for which sent bytes stay unacknowledged.
#[cfg(target_os = "linux")]
const USER_TIMEOUT: Duration = Duration::from_secs(10);

/// A connected socket, before TLS.
pub(crate) enum Socket {
    Tcp(Tcp, SocketAddr),
    #[cfg(unix)]
    Unix(tokio::net::UnixStream),
}

/// An address of a server.
#[derive(Clone, Debug)]
pub(crate) enum Endpoint {
    Tcp(SocketAddr),
    #[cfg(unix)]
    Unix(PathBuf),
}

/// Resolves the addresses of a server, in the order in which they are tried.
pub(crate) async fn endpoints(to: &ConnectionAddr) -> io::Result<Vec<Endpoint>> {
    match to {
        ConnectionAddr::Tcp(host, port) => {
            let found = lookup_host((&**host, *port)).await?;
            let endpoints: Vec<_> = in_turns(found).into_iter().map(Endpoint::Tcp).collect();
            if endpoints.is_empty() {
                let words = format!("the name `{host}` has no address");
                return Err(io::Error::new(io::ErrorKind::NotFound, words));
            }
            Ok(endpoints)
        }
        #[cfg(unix)]
        ConnectionAddr::Unix(path) => Ok(vec![Endpoint::Unix(path.clone())]),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

impl Endpoint {
    pub(crate) async fn connect(self) -> io::Result<Socket> {
        match self {
            Self::Tcp(address) => Ok(Socket::Tcp(tcp(address).await?, address)),
            #[cfg(unix)]
            Self::Unix(path) => Ok(Socket::Unix(tokio::net::UnixStream::connect(path).await?)),
        }
    }
}

impl Socket {
    /// The address that it is connected to.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(_, address) => Some(*address),
            #[cfg(unix)]
            Self::Unix(_) => None,
        }
    }

    /// Returns the switch of its wake-ups. That of a Unix socket has no effect.
    pub(crate) fn watch(&self) -> Readiness {
        match self {
            Self::Tcp(tcp, _) => tcp.watch.clone(),
            #[cfg(unix)]
            Self::Unix(_) => Readiness::new(),
        }
    }

    /// Does the TLS handshake within this time, if TLS is wanted.
    pub(crate) async fn agree(
        self,
        (doing, limit): (&'static str, Duration),
        tls: Option<&Tls>,
        to: &ConnectionAddr,
    ) -> Result<Agreed, ConnectError> {
        match (self, tls, to) {
            (Self::Tcp(tcp, _), Some(tls), ConnectionAddr::Tcp(host, _)) => {
                tls::agree((doing, limit), tls, host, tcp).await
            }
            (Self::Tcp(tcp, _), ..) => Ok((Box::pin(tcp), None)),
            #[cfg(unix)]
            (Self::Unix(unix), ..) => Ok((Box::pin(unix), None)),
        }
    }
}

async fn tcp(address: SocketAddr) -> io::Result<Tcp> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (idle, interval) = KEEPALIVE;
    let keepalive = TcpKeepalive::new().with_time(idle).with_interval(interval);
    let socket = SockRef::from(&stream);
    socket.set_tcp_keepalive(&keepalive)?;
    // TCP keepalive pauses while bytes are unacknowledged; this timeout covers that.
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    Ok(Tcp::new(stream))
}
