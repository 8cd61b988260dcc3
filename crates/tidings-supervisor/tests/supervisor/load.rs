//! Clients of a web server that ask without a pause, and count what becomes of each request.
//!
//! They keep to HTTP/1.1: a connection is kept until an answer says `Connection: close`. No request is
//! tried twice. Also the program that measures faults uses this.

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

/// A request that is not answered for so long counts as cut.
const PATIENCE: Duration = Duration::from_secs(30);

/// What became of requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) answered: u64,
    /// No connection was to be had.
    pub(crate) refused: u64,
    /// The connection ended before the answer did.
    pub(crate) cut: u64,
    /// The answer was another than 200.
    pub(crate) failed: u64,
}

impl Counts {
    /// How many were not answered as they should be.
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

/// Clients at work.
#[derive(Debug)]
pub(crate) struct Load {
    is_over: Arc<AtomicBool>,
    made: Arc<AtomicU64>,
    clients: JoinSet<Counts>,
}

impl Load {
    /// So many clients that keep their connections, and so many that connect anew for each request.
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

    /// How many requests were made so far.
    pub(crate) fn made(&self) -> u64 {
        self.made.load(Relaxed)
    }

    /// What became of all requests.
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

/// One of them.
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

    /// Connects now, and asks later.
    pub(crate) async fn connect(&mut self) -> io::Result<()> {
        self.connection = Some(connect(self.at).await?);
        Ok(())
    }

    async fn ask(&mut self, counts: &mut Counts) {
        let count = match timeout(PATIENCE, self.get("/")).await {
            Ok(Ok(Answer { status: 200, .. })) => &mut counts.answered,
            Ok(Ok(_)) => &mut counts.failed,
            Ok(Err(Failure::Refused(_))) => &mut counts.refused,
            Ok(Err(Failure::Cut(_))) | Err(_) => &mut counts.cut,
        };
        *count += 1;
    }

    /// Asks once, on the connection that is there if there is one.
    pub(crate) async fn get(&mut self, path: &str) -> Result<Answer, Failure> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => connect(self.at).await.map_err(Failure::Refused)?,
        };
        let asked = exchange(&mut connection, path, self.keeps).await;
        let answer = asked.map_err(Failure::Cut)?;
        if answer.is_last {
            // It is the server's to close; else its port would be in use for a minute.
            let _ = connection.read(&mut [0]).await;
        } else {
            self.connection = Some(connection);
        }
        Ok(answer)
    }
}

/// Why there is no answer.
#[derive(Debug)]
#[expect(
    dead_code,
    reason = "the causes are for those who read a test's failure"
)]
pub(crate) enum Failure {
    Refused(io::Error),
    Cut(io::Error),
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
    /// No other will come on this connection.
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
) -> io::Result<Answer> {
    let wish = if keeps { "keep-alive" } else { "close" };
    let request = format!("GET {path} HTTP/1.1\r\nHost: load\r\nConnection: {wish}\r\n\r\n");
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
    Ok(Answer {
        status,
        body,
        is_last,
    })
}

/// Without its end.
async fn line(connection: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = String::new();
    connection.read_line(&mut line).await?;
    match line.strip_suffix("\r\n") {
        Some(line) => Ok(line.to_owned()),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
