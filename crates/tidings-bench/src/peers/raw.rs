//! Raw sockets: RESP written and read by hand, the lower bound of the cost of one event a PUBLISH.

use std::sync::Arc;

use anyhow::{Context, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use crate::envelope::{CHANNEL, seal};
use crate::event::Sample;
use crate::sender::{self, Feed, SendOne, Sent};
use crate::subscriber::{Handlers, Subscriber};
use crate::work::Work;

/// The PUBLISH commands in one write, before their answers are read.
const BATCH: usize = 128;

/// The bytes before the length of each payload of the channel.
const HEAD: &[u8] = b"*3\r\n$7\r\nmessage\r\n$5\r\nbench\r\n$";

/// The bytes of one read.
const READ: usize = 256 << 10;

pub(crate) async fn receive<E: Sample>(
    url: &str,
    subscriber: Arc<Subscriber>,
) -> anyhow::Result<()> {
    let handlers = Handlers::<E>::new(&subscriber);
    let mut socket = connect(url).await?;
    let subscribe = format!("SUBSCRIBE {CHANNEL}\r\n");
    socket.write_all(subscribe.as_bytes()).await?;
    let mut buffer = Vec::with_capacity(READ);
    socket.read_buf(&mut buffer).await?;
    buffer.clear();
    subscriber.ready();
    while socket.read_buf(&mut buffer).await? > 0 {
        let mut rest = &*buffer;
        while let Some((payload, after)) = next_payload(rest)? {
            handlers.call(payload).await?;
            rest = after;
        }
        let read = buffer.len() - rest.len();
        buffer.drain(..read);
        buffer.reserve(READ);
    }
    Ok(())
}

pub(crate) async fn send<E: Sample>(url: &str, work: Work) -> anyhow::Result<Sent> {
    let one = One(Arc::new(Mutex::new(Batch::open(url).await?)));
    sender::send::<E, _, _>(work, one, Batch::open(url).await?).await
}

async fn connect(url: &str) -> anyhow::Result<TcpStream> {
    let address = url
        .strip_prefix("redis://")
        .context("the address is not redis://")?;
    let socket = TcpStream::connect(address.trim_end_matches('/')).await?;
    socket.set_nodelay(true)?;
    Ok(socket)
}

/// Returns the first payload and the bytes after it; `None`, if it is not complete.
fn next_payload(bytes: &[u8]) -> anyhow::Result<Option<(&[u8], &[u8])>> {
    let Some((head, rest)) = bytes.split_at_checked(HEAD.len()) else {
        return Ok(None);
    };
    ensure!(head == HEAD, "not an event: {}", head.escape_ascii());
    let Some(end) = rest.iter().position(|byte| *byte == b'\r') else {
        return Ok(None);
    };
    let length: usize = std::str::from_utf8(&rest[..end])?.parse()?;
    let start = end + 2;
    let after = start + length + 2;
    Ok((rest.len() >= after).then(|| (&rest[start..start + length], &rest[after..])))
}

/// Publishes that are written together.
struct Batch {
    socket: TcpStream,
    commands: Vec<u8>,
    count: usize,
    answers: Vec<u8>,
}

impl Batch {
    async fn open(url: &str) -> anyhow::Result<Self> {
        Ok(Self {
            socket: connect(url).await?,
            commands: Vec::new(),
            count: 0,
            answers: Vec::with_capacity(READ),
        })
    }

    fn add(&mut self, name: &str, event: &impl Sample) -> anyhow::Result<()> {
        let payload = seal(name, event)?;
        let head = format!(
            "*3\r\n$7\r\nPUBLISH\r\n${}\r\n{CHANNEL}\r\n${}\r\n",
            CHANNEL.len(),
            payload.len()
        );
        self.commands.extend_from_slice(head.as_bytes());
        self.commands.extend_from_slice(&payload);
        self.commands.extend_from_slice(b"\r\n");
        self.count += 1;
        Ok(())
    }

    /// Writes the commands and reads an answer for each: `:1` and the end of the line.
    async fn send(&mut self) -> anyhow::Result<()> {
        self.socket.write_all(&self.commands).await?;
        self.commands.clear();
        while self.count > 0 {
            self.answers.clear();
            let read = self.socket.read_buf(&mut self.answers).await?;
            ensure!(read > 0, "redis closed the connection");
            ensure!(!self.answers.contains(&b'-'), "redis rejected a PUBLISH");
            let answers = self.answers.split(|byte| *byte == b'\n').count() - 1;
            self.count = self.count.saturating_sub(answers);
        }
        Ok(())
    }
}

impl<E: Sample> Feed<E> for Batch {
    async fn feed(&mut self, name: &'static str, event: E) -> anyhow::Result<()> {
        self.add(name, &event)?;
        if self.count == BATCH {
            self.send().await?;
        }
        Ok(())
    }

    async fn finish(&mut self) -> anyhow::Result<()> {
        self.send().await
    }
}

/// A connection that sends one event at a time.
#[derive(Clone)]
struct One(Arc<Mutex<Batch>>);

impl<E: Sample> SendOne<E> for One {
    async fn send(&self, name: &'static str, event: E) -> anyhow::Result<()> {
        let mut batch = self.0.lock().await;
        batch.add(name, &event)?;
        batch.send().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_split_and_an_incomplete_one_waits_for_more() {
        let read = [HEAD, b"3\r\nabc\r\n", HEAD, b"2\r\nd"].concat();
        let (payload, after) = next_payload(&read).unwrap().unwrap();
        assert_eq!(payload, b"abc");
        assert!(next_payload(after).unwrap().is_none());
        assert!(next_payload(&read[..HEAD.len()]).unwrap().is_none());
        assert!(next_payload(b"-ERR a sentence that is longer than that").is_err());
    }
}
