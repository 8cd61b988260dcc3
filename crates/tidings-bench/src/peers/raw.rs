//! Raw sockets: RESP written and read by hand, the floor for one event a PUBLISH.

use std::sync::Arc;

use anyhow::{Context, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use crate::envelope::{CHANNEL, seal};
use crate::event::Sample;
use crate::hearing::{Handlers, Hearing};
use crate::sending::{self, Feed, SendOne, Sent};
use crate::work::Work;

/// How many PUBLISH go out in one write, before their answers are read.
const BATCH: usize = 128;

/// What stands before the length of each payload that comes from the channel.
const HEAD: &[u8] = b"*3\r\n$7\r\nmessage\r\n$5\r\nbench\r\n$";

/// How much is read at once.
const READ: usize = 256 << 10;

pub(crate) async fn hear<E: Sample>(url: &str, hearing: Arc<Hearing>) -> anyhow::Result<()> {
    let handlers = Handlers::<E>::new(&hearing);
    let mut socket = connect(url).await?;
    let subscribe = format!("SUBSCRIBE {CHANNEL}\r\n");
    socket.write_all(subscribe.as_bytes()).await?;
    let mut buffer = Vec::with_capacity(READ);
    socket.read_buf(&mut buffer).await?;
    buffer.clear();
    hearing.ready();
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
    sending::send::<E, _, _>(work, one, Batch::open(url).await?).await
}

async fn connect(url: &str) -> anyhow::Result<TcpStream> {
    let address = url.strip_prefix("redis://").context("not a redis")?;
    let socket = TcpStream::connect(address.trim_end_matches('/')).await?;
    socket.set_nodelay(true)?;
    Ok(socket)
}

/// The first payload in what was read, and what comes after it; nothing, if not all of it is there.
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

/// Publishes that leave together.
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

    /// Writes what waits and reads an answer for each: `:1` and the end of the line.
    async fn send(&mut self) -> anyhow::Result<()> {
        self.socket.write_all(&self.commands).await?;
        self.commands.clear();
        while self.count > 0 {
            self.answers.clear();
            let read = self.socket.read_buf(&mut self.answers).await?;
            ensure!(read > 0, "redis hung up");
            ensure!(!self.answers.contains(&b'-'), "redis refuses to publish");
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
    fn payloads_are_taken_out_one_by_one_and_a_part_of_one_waits() {
        let read = [HEAD, b"3\r\nabc\r\n", HEAD, b"2\r\nd"].concat();
        let (payload, after) = next_payload(&read).unwrap().unwrap();
        assert_eq!(payload, b"abc");
        assert!(next_payload(after).unwrap().is_none());
        assert!(next_payload(&read[..HEAD.len()]).unwrap().is_none());
        assert!(next_payload(b"-ERR a sentence that is longer than that").is_err());
    }
}
