//! Accepts connections, and serves them with limits of time and size.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

use super::changes::Peer;
use super::reader::ReaderLimit;
use super::{limits, tls};

/// The time to the next attempt when no connection can be accepted, as without free descriptors.
const AGAIN: Duration = Duration::from_millis(100);

/// Serves connections for ever, with TLS if there is a certificate.
pub(super) async fn serve(
    listener: TcpListener,
    address: SocketAddr,
    acceptor: Option<TlsAcceptor>,
    router: Router,
) {
    let free = Arc::new(Semaphore::new(limits::CONNECTIONS));
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            sleep(AGAIN).await;
            continue;
        };
        // A waiting connection would take memory, too.
        let Ok(permit) = Arc::clone(&free).try_acquire_owned() else {
            continue;
        };
        let router = router.clone().layer(Extension(Peer(peer)));
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            let _ = stream.set_nodelay(true);
            match acceptor {
                None => connection(stream, router).await,
                Some(acceptor) => {
                    if let Some(stream) = tls::accept(&acceptor, stream, address).await {
                        connection(stream, router).await;
                    }
                }
            }
            drop(permit);
        });
    }
}

async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, router: Router) {
    let stream = ReaderLimit::new(stream, limits::WRITE_TIME);
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::HEAD_TIME)
        .max_buf_size(limits::HEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    // Its peer has gone or was wrong, which concerns no other.
    let _ = served.await;
}
