//! Clients that load a web server, and count the results of their requests.
//!
//! They keep an HTTP/1.1 connection until a response has `Connection: close`, and retry no request. The
//! fault program uses them as well.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// The time after which a request without a response counts as cut off.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The numbers of requests by their results.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) answered: u64,
    /// The connection was refused.
    pub(crate) refused: u64,
    /// The connection ended before the response.
    pub(crate) cut: u64,
    /// The status was not 200.
    pub(crate) failed: u64,
}

impl Counts {
    /// Returns the number of requests without a successful response.
    pub(crate) fn lost(&self) -> u64 {
        self.refused + self.cut + self.failed
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            answered,
            refused,
            cut,
            failed,
        } = self;
        write!(
            f,
            "{answered} answered, {refused} refused, {cut} cut, {failed} failed"
        )
    }
}

/// Running clients.
#[derive(Debug)]
pub(crate) struct Load {
    is_over: Arc<AtomicBool>,
    made: Arc<AtomicU64>,
    clients: JoinSet<Counts>,
}

impl Load {
    /// Starts clients that keep their connections, and clients that connect for each request.
    pub(crate) fn start(at: SocketAddr, keeping: usize, leaving: usize) -> Self {
        let mut load = Self {
            is_over: Arc::default(),
            made: Arc::default(),
            clients: JoinSet::new(),
        };
        for number in 0..keeping + leaving {
            let (is_over, made) = (Arc::clone(&load.is_over), Arc::clone(&load.made));
            let mut client = Client::new(at, number < keeping);
            load.clients.spawn(async move {
                let mut counts = Counts::default();
                while !is_over.load(Relaxed) {
                    client.ask(&mut counts).await;
                    made.fetch_add(1, Relaxed);
                }
                counts
            });
        }
        load
    }

    /// Returns the number of requests so far.
    pub(crate) fn made(&self) -> u64 {
        self.made.load(Relaxed)
    }

    /// Stops the clients, and returns their counts.
    pub(crate) async fn end(self) -> Counts {
        self.is_over.store(true, Relaxed);
        let mut all = Counts::default();
        for counts in self.clients.join_all().await {
            all.answered += counts.answered;
            all.refused += counts.refused;
            all.cut += counts.cut;
            all.failed += counts.failed;
        }
        all
    }
}

/// A client.
#[derive(Debug)]
pub(crate) struct Client {
    at: SocketAddr,
    keeps: bool,
    connection: Option<BufReader<TcpStream>>,
}

impl Client {
    pub(crate) fn new(at: SocketAddr, keeps: bool) -> Self {
        Self {
            at,
            keeps,
            connection: None,
        }
    }

    /// Connects without sending a request.
    pub(crate) async fn connect(&mut self) -> io::Result<()> {
        self.connection = Some(connect(self.at).await?);
        Ok(())
    }

    async fn ask(&mut self, counts: &mut Counts) {
        let count = match timeout(TIMEOUT, self.get("/")).await {
            Ok(Ok(Response { status: 200, .. })) => &mut counts.answered,
            Ok(Ok(_)) => &mut counts.failed,
            Ok(Err(Failure::Refused(_))) => &mut counts.refused,
            Ok(Err(Failure::Cut(_))) | Err(_) => &mut counts.cut,
        };
        *count += 1;
    }

    /// Sends a request, on the kept connection if there is one.
    pub(crate) async fn get(&mut self, path: &str) -> Result<Response, Failure> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => connect(self.at).await.map_err(Failure::Refused)?,
        };
        let exchanged = exchange(&mut connection, path, self.keeps).await;
        let response = exchanged.map_err(Failure::Cut)?;
        if response.is_last {
            // The server closes it first, so that no port of the client stays in use.
            let _ = connection.read(&mut [0]).await;
        } else {
            self.connection = Some(connection);
        }
        Ok(response)
    }
}

/// The reason for no response.
#[derive(Debug)]
#[expect(dead_code, reason = "the causes are shown when a test fails")]
pub(crate) enum Failure {
    Refused(io::Error),
    Cut(io::Error),
}

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) body: String,
    /// The connection ends after this response.
    pub(crate) is_last: bool,
}

async fn connect(at: SocketAddr) -> io::Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect(at).await?;
    stream.set_nodelay(true)?;
    Ok(BufReader::new(stream))
}

async fn exchange(
    connection: &mut BufReader<TcpStream>,
    path: &str,
    keeps: bool,
) -> io::Result<Response> {
    let connection_header = if keeps { "keep-alive" } else { "close" };
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: load\r\nConnection: {connection_header}\r\n\r\n");
    connection.write_all(request.as_bytes()).await?;
    let first = line(connection).await?;
    let status = first.split(' ').nth(1).and_then(|it| it.parse().ok());
    let status = status.ok_or(io::ErrorKind::InvalidData)?;
    let (mut length, mut is_last) = (0, !keeps);
    loop {
        let header = line(connection).await?.to_ascii_lowercase();
        match header.split_once(": ") {
            Some(("content-length", it)) => length = it.parse().map_err(io::Error::other)?,
            Some(("connection", it)) => is_last |= it == "close",
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body).await?;
    let body = String::from_utf8_lossy(&body).into_owned();
    Ok(Response {
        status,
        body,
        is_last,
    })
}

/// Reads a line, without its end.
async fn line(connection: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = String::new();
    connection.read_line(&mut line).await?;
    match line.strip_suffix("\r\n") {
        Some(line) => Ok(line.to_owned()),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
