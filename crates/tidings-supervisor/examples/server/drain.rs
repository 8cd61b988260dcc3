//! Ends a server so that nobody loses a request. To be copied; it needs axum and tokio alone.
//!
//! axum's graceful shutdown closes each connection that is idle at once. But idle is only what the
//! server sees: a client may have written its next request already, and gets a reset. So there is a
//! drain before it. New connections are left to the others who have the same socket. On those that
//! are open each request is answered with `Connection: close`: then it is the client who is told, with
//! an answer in its hands, and asks on a new connection. When none is left, or the linger is over,
//! comes axum's graceful shutdown.
//!
//! Against one thing HTTP/1.1 has no cure: who was silent for the whole linger, and writes in the very
//! moment of the end.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::http::HeaderValue;
use axum::http::header::CONNECTION;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::serve::{IncomingStream, Listener};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::timeout;

/// Serves until SIGTERM, which is heard from now on. From then on clients have `linger` to ask once
/// more on the connections that they have; requests that are being answered have all the time they
/// need. Should be less than the supervisor's grace.
pub(crate) fn serve(
    listener: TcpListener,
    app: Router,
    linger: Duration,
) -> io::Result<impl Future<Output = io::Result<()>>> {
    let told = signal(SignalKind::terminate())?;
    let draining = Arc::new(watch::Sender::new(false));
    let door = Door {
        listener,
        draining: Arc::clone(&draining),
    };
    let app = app.layer(from_fn(say_goodbye));
    let app = app.into_make_service_with_connect_info::<Guest>();
    let server = axum::serve(door, app).with_graceful_shutdown(drain(told, draining, linger));
    Ok(server.into_future())
}

/// Until axum may close what is left.
async fn drain(mut told: Signal, draining: Arc<watch::Sender<bool>>, linger: Duration) {
    told.recv().await;
    draining.send_replace(true);
    // All guests are gone, or those that are left have nothing to say.
    let _ = timeout(linger, draining.closed()).await;
}

/// Hyper closes the connection behind such an answer.
async fn say_goodbye(
    ConnectInfo(guest): ConnectInfo<Guest>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = next.run(request).await;
    if *guest.draining.borrow() {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    response
}

/// A connection: axum keeps one of these for as long as it is open.
#[derive(Clone, Debug)]
struct Guest {
    draining: watch::Receiver<bool>,
}

impl Connected<IncomingStream<'_, Door>> for Guest {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        stream.remote_addr().clone()
    }
}

/// Where guests come in, until the drain.
struct Door {
    listener: TcpListener,
    draining: Arc<watch::Sender<bool>>,
}

impl Listener for Door {
    type Io = TcpStream;
    type Addr = Guest;

    async fn accept(&mut self) -> (TcpStream, Guest) {
        let mut draining = self.draining.subscribe();
        tokio::select! {
            (stream, _) = Listener::accept(&mut self.listener) => (stream, Guest { draining }),
            () = begins(&mut draining) => {
                drop(draining);
                pending().await
            }
        }
    }

    fn local_addr(&self) -> io::Result<Guest> {
        let draining = self.draining.subscribe();
        Ok(Guest { draining })
    }
}

async fn begins(draining: &mut watch::Receiver<bool>) {
    // An error: nobody is left who could say so. Then it is over as well.
    let _ = draining.wait_for(|it| *it).await;
}
