//! Serves an axum application so that no request is lost when its worker is replaced.
//!
//! [`serve`] replaces [`axum::serve`](::axum::serve()):
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
//! axum's graceful shutdown closes each idle connection at once, although the client may have written
//! its next request already, which is then lost. Therefore [`serve`] drains the connections first:
//!
//! * It accepts no new connections; other workers that share the socket do.
//! * It answers each request on an open connection with `Connection: close`, so that the client sends its
//!   next request on a new connection.
//! * When no connection is left, or the [drain timeout](Serve::drain_timeout) is over, axum's graceful
//!   shutdown completes the requests in progress.
//!
//! A response that began before the drain and outlasts it is completed, and its client can send one more
//! request for as long as the drain lasts.
//!
//! # Limits
//!
//! * A request is lost if a client that was silent during the whole drain sends it at the very end.
//! * A client that pipelines must send requests again that follow a response with `Connection: close`.
//! * A response that streams without an end, such as server-sent events, is never completed: end its
//!   stream on SIGTERM, for example with `take_until`.
//! * An upgraded connection, such as a WebSocket, ends with the process. Close it yourself on SIGTERM,
//!   so that its client reconnects at once.

mod connection;
mod drain;
mod service;

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::pin::Pin;
use std::time::Duration;

use ::axum::extract::Request;
use ::axum::response::Response;
use ::axum::serve::{IncomingStream, Listener, ListenerExt as _};
use tokio::signal::unix::{SignalKind, signal};
use tower_service::Service;

pub use self::connection::{Accepting, Connection, DrainListener};
use self::drain::{Drain, Shutdown};
use self::service::MakeCloseOnDrain;

/// The default drain timeout.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves an application on a listener until SIGTERM, then drains its connections.
///
/// The arguments are those of [`axum::serve`](::axum::serve()): a [`Router`](::axum::Router), or the
/// result of [`into_make_service_with_connect_info`], on any [`Listener`]. SIGTERM is caught from this
/// call on.
///
/// The connect information is the address that the listener returns, for example a `SocketAddr`. To pass
/// more to handlers, use a [`Listener`] with an `Addr` of your own. (An implementation of
/// [`Connected`](::axum::extract::connect_info::Connected) for a [`DrainListener`] does not compile: it
/// overlaps with that of axum.)
///
/// # Errors
///
/// The server fails if SIGTERM cannot be caught.
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
    let shutdown = signal(SignalKind::terminate()).map(|mut signal| {
        let shutdown = async move {
            signal.recv().await;
        };
        Box::pin(shutdown) as Shutdown
    });
    Serve {
        listener,
        make_service,
        drain_timeout: DRAIN_TIMEOUT,
        shutdown,
        service: PhantomData,
    }
}

/// A server that drains its connections before it ends. It runs when it is awaited.
#[must_use = "a server does nothing unless it is awaited"]
pub struct Serve<L, M, S> {
    listener: L,
    make_service: M,
    drain_timeout: Duration,
    shutdown: io::Result<Shutdown>,
    service: PhantomData<fn() -> S>,
}

impl<L, M, S> Serve<L, M, S> {
    /// Sets the time in which clients can send one more request on their connections; 5 s by default. It
    /// begins after the end of responses that began before the drain. Requests in progress are completed
    /// afterwards. Together they should take less than the supervisor's
    /// [stop timeout](crate::Supervisor::stop_timeout). Zero closes idle connections at once, as axum's
    /// graceful shutdown does.
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.drain_timeout = timeout;
        self
    }

    /// Drains when this future completes instead of on SIGTERM, for workers with another
    /// [stop signal](crate::StopSignal).
    pub fn with_graceful_shutdown(
        mut self,
        signal: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        self.shutdown = Ok(Box::pin(signal));
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
            let shutdown = self.shutdown?;
            let drain = Drain::default();
            let listener = Accepting::new(self.listener, drain.clone()).tap_io(ignore as _);
            let make_service = MakeCloseOnDrain::new(self.make_service, drain.clone());
            ::axum::serve(listener, make_service)
                .with_graceful_shutdown(drain.run(shutdown, self.drain_timeout))
                .await
        })
    }
}

/// Does nothing. The listener is tapped because axum implements `Connected` for such listeners.
fn ignore<T>(_: &mut Connection<T>) {}

#[cfg(test)]
mod tests;
