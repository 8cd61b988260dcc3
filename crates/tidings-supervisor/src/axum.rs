//! Serves an axum application so that no request is lost when its worker is replaced.
//!
//! [`serve`] takes the place of [`axum::serve`](::axum::serve()):
//!
//! ```no_run
//! use axum::Router;
//! use axum::routing::get;
//! use listenfd::ListenFd;
//! use tokio::net::TcpListener;
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let app = Router::new().route("/", get(async || "hello"));
//!     let socket = ListenFd::from_env().take_tcp_listener(0)?.ok_or("no socket")?;
//!     socket.set_nonblocking(true)?;
//!     let listener = TcpListener::from_std(socket)?;
//!
//!     let server = tidings_supervisor::axum::serve(listener, app);
//!     tidings_supervisor::notify_ready()?;
//!     server.await?;
//!     Ok(())
//! }
//! ```
//!
//! # Why graceful shutdown is not enough
//!
//! axum's graceful shutdown closes each idle connection at once. The client may have written its next
//! request already, which is then lost. So the shutdown begins with a drain. New connections are left
//! to the other workers that share the socket. Each request on an open connection is answered with
//! `Connection: close`, so that the client sends its next request on a new connection. When no
//! connection is left, or the time for the drain is over, axum's graceful shutdown does the rest:
//! requests that are being answered are completed.
//!
//! An answer that began before the drain and takes longer is completed, and its client may send one
//! more request behind it for as long as the drain lasts.
//!
//! HTTP/1.1 leaves two cases open: a client that was silent during the whole drain and sends a request
//! at the very moment of the end, and one that sends requests before it has the answers to those before
//! them (pipelining). Behind an answer with `Connection: close` such a client has to send again those
//! that are not answered.
//!
//! A connection that was upgraded, such as a WebSocket, is no request: it ends with the process, after
//! the drain. Close it yourself at SIGTERM, so that its client comes back at once.

mod connection;
mod service;

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ::axum::extract::Request;
use ::axum::response::Response;
use ::axum::serve::{IncomingStream, Listener, ListenerExt as _};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tower_service::Service;

pub use self::connection::{Accepting, Connection, DrainListener};
use self::service::MakeClosing;
use crate::awake::sleep_awake;

/// How long a drain lasts by default.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves an application on a listener until SIGTERM, then drains its connections.
///
/// The arguments are those of [`axum::serve`](::axum::serve()): a [`Router`](::axum::Router), or what
/// [`into_make_service_with_connect_info`] makes of it, on any [`Listener`]. SIGTERM is caught from
/// this call on.
///
/// Connect information is the address that the listener gives: of a `TcpListener` that is a
/// `SocketAddr`. A handler that is to know more of a connection gets it from a [`Listener`] of your own
/// whose `Addr` holds it. (A [`Connected`](::axum::extract::connect_info::Connected) of your own for a
/// [`DrainListener`] does not compile: it would overlap with the implementation of axum.)
///
/// # Errors
///
/// The server ends with an error when SIGTERM cannot be caught.
///
/// # Examples
///
/// ```
/// use std::net::SocketAddr;
///
/// use axum::Router;
/// use axum::extract::ConnectInfo;
/// use axum::routing::get;
/// use tokio::net::TcpListener;
///
/// async fn address(ConnectInfo(client): ConnectInfo<SocketAddr>) -> String {
///     client.to_string()
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let app = Router::new().route("/", get(address));
/// let app = app.into_make_service_with_connect_info::<SocketAddr>();
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
///
/// tidings_supervisor::axum::serve(listener, app)
/// #   .with_graceful_shutdown(async {})
///     .await
/// # }
/// ```
///
/// [`into_make_service_with_connect_info`]: ::axum::Router::into_make_service_with_connect_info
pub fn serve<L, M, S>(listener: L, make_service: M) -> Serve<L, M, S>
where
    L: Listener,
    M: for<'a> Service<IncomingStream<'a, DrainListener<L>>, Error = Infallible, Response = S>,
{
    let told = signal(SignalKind::terminate()).map(|mut signal| {
        let told = async move {
            signal.recv().await;
        };
        Box::pin(told) as Told
    });
    Serve {
        listener,
        make_service,
        drain_timeout: DRAIN_TIMEOUT,
        told,
        service: PhantomData,
    }
}

type Told = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A server that drains its connections before it ends; runs when it is awaited.
#[must_use = "a server does nothing unless it is awaited"]
pub struct Serve<L, M, S> {
    listener: L,
    make_service: M,
    drain_timeout: Duration,
    told: io::Result<Told>,
    service: PhantomData<fn() -> S>,
}

impl<L, M, S> Serve<L, M, S> {
    /// How long clients may send one more request on the connections that they have; 5 s by default,
    /// counted from the end of answers that began before the drain. Requests that are being answered have all the time that they need. Together they should take
    /// less than the supervisor's [`grace`](crate::Supervisor::grace). Zero closes idle connections at
    /// once, as axum's graceful shutdown does.
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.drain_timeout = timeout;
        self
    }

    /// Drains when this future completes, and no longer on SIGTERM: for workers that are told to end by
    /// another [signal](crate::StopSignal).
    pub fn with_graceful_shutdown(
        mut self,
        told: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        self.told = Ok(Box::pin(told));
        self
    }
}

impl<L: fmt::Debug, M, S> fmt::Debug for Serve<L, M, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serve")
            .field("listener", &self.listener)
            .field("drain_timeout", &self.drain_timeout)
            .finish_non_exhaustive()
    }
}

impl<L, M, S> IntoFuture for Serve<L, M, S>
where
    L: Listener,
    L::Addr: fmt::Debug,
    M: for<'a> Service<IncomingStream<'a, DrainListener<L>>, Error = Infallible, Response = S>
        + Send
        + 'static,
    for<'a> <M as Service<IncomingStream<'a, DrainListener<L>>>>::Future: Send,
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Output = io::Result<()>;
    type IntoFuture = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let told = self.told?;
            let draining = Arc::new(watch::Sender::new(false));
            let listener = Accepting::new(self.listener, Arc::clone(&draining)).tap_io(leave as _);
            let open_answers = Arc::<watch::Sender<()>>::default();
            let make_service = MakeClosing::new(
                self.make_service,
                Arc::clone(&draining),
                Arc::clone(&open_answers),
            );
            let drained = drain(told, draining, open_answers, self.drain_timeout);
            ::axum::serve(listener, make_service)
                .with_graceful_shutdown(drained)
                .await
        })
    }
}

/// A [`DrainListener`] is one that axum knows, so that an address is still that of a client; what is
/// done with a connection there is nothing.
fn leave<T>(_: &mut Connection<T>) {}

/// Until axum may close what is left.
async fn drain(
    told: Told,
    draining: Arc<watch::Sender<bool>>,
    open_answers: Arc<watch::Sender<()>>,
    linger: Duration,
) {
    told.await;
    draining.send_replace(true);
    let linger = async {
        // Their clients were not told to leave, and may send one more request, too.
        open_answers.closed().await;
        sleep_awake(linger).await;
    };
    // All connections are gone, or those that are left have nothing to say.
    tokio::select! {
        () = draining.closed() => {}
        () = linger => {}
    }
}

#[cfg(test)]
mod tests;
