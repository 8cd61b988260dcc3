//! A listener that counts its open connections, and accepts none during the drain.

use std::future::pending;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use ::axum::serve::{Listener, TapIo};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;

use super::drain::Drain;

/// The listener that [`Serve`](super::Serve) passes to axum, which implements
/// [`Connected`](::axum::extract::connect_info::Connected) for it and the address of `L`.
pub type DrainListener<L> = TapIo<Accepting<L>, fn(&mut Connection<<L as Listener>::Io>)>;

/// A listener that accepts connections until the drain begins.
#[derive(Debug)]
pub struct Accepting<L> {
    listener: L,
    drain: Drain,
}

impl<L> Accepting<L> {
    pub(super) fn new(listener: L, drain: Drain) -> Self {
        Self { listener, drain }
    }
}

impl<L: Listener> Listener for Accepting<L> {
    type Io = Connection<L::Io>;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let mut drain = self.drain.has_begun.subscribe();
        tokio::select! {
            (stream, address) = self.listener.accept() => {
                let connection = Connection { stream, _open: drain };
                (connection, address)
            }
            () = begin(&mut drain) => {
                drop(drain);
                pending().await
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

async fn begin(drain: &mut watch::Receiver<bool>) {
    // An error means that the server has ended.
    let _ = drain.wait_for(|it| *it).await;
}

/// A connection that the drain waits for.
#[derive(Debug)]
pub struct Connection<T> {
    stream: T,
    /// The drain is over when all of these are dropped.
    _open: watch::Receiver<bool>,
}

impl<T: AsyncRead + Unpin> AsyncRead for Connection<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Connection<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
