//! Tests of the drain.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use ::axum::Router;
use ::axum::body::{Body, Bytes, HttpBody};
use ::axum::extract::ConnectInfo;
use ::axum::http::StatusCode;
use ::axum::routing::get;
use http_body::Frame;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;
use crate::directory::short_directory;

const DEADLINE: Duration = Duration::from_secs(30);

/// Longer than any test.
const FOREVER: Duration = Duration::from_hours(1);

async fn address(ConnectInfo(client): ConnectInfo<SocketAddr>) -> String {
    client.to_string()
}

struct Server {
    at: SocketAddr,
    drain: oneshot::Sender<()>,
    ended: JoinHandle<io::Result<()>>,
}

impl Server {
    /// Starts a server that responds with the address of the client.
    async fn start(drain_timeout: Duration) -> Self {
        let app = Router::new().route("/", get(address));
        let app = app.into_make_service_with_connect_info::<SocketAddr>();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let (drain, shutdown) = oneshot::channel();
        let server = serve(listener, app)
            .drain_timeout(drain_timeout)
            .with_graceful_shutdown(async { drop(shutdown.await) });
        let ended = tokio::spawn(server.into_future());
        Self { at, drain, ended }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.at).await.unwrap()
    }
}

async fn ends(server: JoinHandle<io::Result<()>>) {
    let ended = timeout(DEADLINE, server)
        .await
        .expect("the server ends in time");
    ended.unwrap().unwrap();
}

async fn get_on(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> String {
    let request = b"GET / HTTP/1.1\r\nhost: here\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let read = async {
        while !is_whole(&answer) {
            assert_ne!(
                stream.read_buf(&mut answer).await.unwrap(),
                0,
                "the connection was closed"
            );
        }
    };
    timeout(DEADLINE, read).await.expect("a response in time");
    String::from_utf8(answer).unwrap()
}

fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head.split("content-length: ").nth(1);
    let length = length.and_then(|it| it.split("\r\n").next()?.parse().ok());
    length == Some(body.len())
}

#[tokio::test]
async fn an_idle_connection_gets_one_more_response_and_is_closed() {
    let server = Server::start(FOREVER).await;
    let mut client = server.connect().await;
    let first = get_on(&mut client).await;
    assert!(!first.contains("connection: close"), "{first}");
    server.drain.send(()).unwrap();

    // The first response may be sent before the drain has begun.
    let closing = async { while !get_on(&mut client).await.contains("connection: close") {} };
    timeout(DEADLINE, closing)
        .await
        .expect("a response with `Connection: close`");

    assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
    ends(server.ended).await;
}

#[tokio::test]
async fn a_handler_gets_the_address_of_its_client() {
    let server = Server::start(FOREVER).await;
    let mut client = server.connect().await;
    let answer = get_on(&mut client).await;
    let address = client.local_addr().unwrap().to_string();
    assert!(answer.ends_with(&address), "{answer}");
}

/// A body without content that ends when the sender is dropped.
struct Long(mpsc::Receiver<()>);

impl HttpBody for Long {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|_| None)
    }
}

#[tokio::test]
async fn a_client_can_send_one_more_request_after_a_response_that_outlasts_the_drain_timeout() {
    let drain_timeout = Duration::from_secs(1);
    let (open, end) = mpsc::channel(1);
    let long = Arc::new(Mutex::new(Some(Body::new(Long(end)))));
    let app = Router::new().route("/", get(async || "short")).route(
        "/long",
        get(async move || long.lock().unwrap().take().unwrap()),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let (drain, shutdown) = oneshot::channel::<()>();
    let server = serve(listener, app).drain_timeout(drain_timeout);
    let server = server.with_graceful_shutdown(async { drop(shutdown.await) });
    let server = tokio::spawn(server.into_future());
    let mut client = TcpStream::connect(at).await.unwrap();
    let request = b"GET /long HTTP/1.1\r\nhost: here\r\n\r\n";
    client.write_all(request).await.unwrap();
    read_until(&mut client, "\r\n\r\n").await;
    drain.send(()).unwrap();
    tokio::time::sleep(drain_timeout + drain_timeout / 2).await;

    drop(open);
    read_until(&mut client, "0\r\n\r\n").await;

    let last = get_on(&mut client).await;
    assert!(last.contains("connection: close"), "{last}");
    ends(server).await;
}

async fn read_until(stream: &mut TcpStream, end: &str) {
    let mut answer = Vec::new();
    let read = async {
        while !answer.ends_with(end.as_bytes()) {
            assert_ne!(
                stream.read_buf(&mut answer).await.unwrap(),
                0,
                "the connection was closed"
            );
        }
    };
    timeout(DEADLINE, read).await.expect("a response in time");
}

#[tokio::test]
async fn a_connection_can_be_upgraded_during_the_drain() {
    let upgrade = async || {
        let headers = [("connection", "upgrade"), ("upgrade", "echo")];
        (StatusCode::SWITCHING_PROTOCOLS, headers)
    };
    let app = Router::new().route("/", get(upgrade));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let drain = Drain::default();
    drain.has_begun.send_replace(true);
    let make = MakeCloseOnDrain::new(app.into_make_service(), drain);
    let server = ::axum::serve(listener, make).into_future();
    let server = tokio::spawn(server);

    let request = b"GET / HTTP/1.1\r\nhost: here\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
    client.write_all(request).await.unwrap();

    let mut answer = Vec::new();
    timeout(DEADLINE, client.read_buf(&mut answer))
        .await
        .unwrap()
        .unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.contains("connection: upgrade"), "{answer}");
    server.abort();
}

#[tokio::test]
async fn a_silent_connection_is_closed_after_the_drain_timeout() {
    let server = Server::start(Duration::from_millis(50)).await;
    let mut client = server.connect().await;
    get_on(&mut client).await;
    server.drain.send(()).unwrap();
    ends(server.ended).await;
    assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_server_without_connections_ends_at_once() {
    let server = Server::start(FOREVER).await;
    server.drain.send(()).unwrap();
    ends(server.ended).await;
}

#[tokio::test]
async fn a_router_is_served_on_any_listener() {
    let directory = short_directory();
    let path = directory.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let app = Router::new().route("/", get(async || "hello"));
    let server = tokio::spawn(serve(listener, app).into_future());
    let mut client = UnixStream::connect(&path).await.unwrap();
    assert!(get_on(&mut client).await.ends_with("hello"));
    server.abort();
}

/// A listener with an address type of its own.
struct Named(TcpListener);

#[derive(Clone, Debug)]
struct Port(u16);

impl Listener for Named {
    type Io = TcpStream;
    type Addr = Port;

    async fn accept(&mut self) -> (TcpStream, Port) {
        let (stream, _) = Listener::accept(&mut self.0).await;
        (stream, self.local_addr().unwrap())
    }

    fn local_addr(&self) -> io::Result<Port> {
        self.0.local_addr().map(|it| Port(it.port()))
    }
}

#[tokio::test]
async fn a_handler_gets_the_address_of_a_custom_listener() {
    let show = async |ConnectInfo(Port(port)): ConnectInfo<Port>| port.to_string();
    let app = Router::new().route("/", get(show));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let app = app.into_make_service_with_connect_info::<Port>();
    let server = tokio::spawn(serve(Named(listener), app).into_future());
    let mut client = TcpStream::connect(at).await.unwrap();
    let answer = get_on(&mut client).await;
    assert!(answer.ends_with(&at.port().to_string()), "{answer}");
    server.abort();
}
