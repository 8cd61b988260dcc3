//! A connection to Redis over RESP3: commands are answered in order, and the frames of one channel
//! are handed over without further copies.

pub(crate) mod cursor;
mod scan;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io::{self, Write as _};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::task::AtomicWaker;
use redis::aio::ConnectionLike;
use redis::{Cmd, FromRedisValue, Pipeline, PushKind, RedisError, RedisFuture, RedisResult, Value};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Sleep, sleep};

use crate::namespace::channel::Channel;
pub(crate) use crate::resp::scan::KINDS;
use crate::resp::scan::{Scan, line, malformed, parsed};
use crate::task::mutex::Mutex;

/// The bytes that are read at once, besides the rest of a large value. Smaller frames are copied, so
/// that a queued event holds no more than its own frame in memory.
const CHUNK: usize = 16 << 10;

/// The maximum bytes that are read before their frames are handed over. With one frame more, this is
/// all that is buffered between the socket and the handlers' queues.
const MAX_READ: usize = 1 << 20;

/// The maximum number of commands in flight over a [`limited`](Client::limited) client; further ones
/// wait for an answer.
///
/// A frame waits for those before it, and a round trip answers no more than these. With 2,000 tasks
/// that count over a network of 2 ms there and back, 1,024 at once were 60,000 a second, and a frame
/// took 13 ms (median); 256 were 37,000 and 6 ms; 64 were 11,000 and 5 ms.
pub(crate) const MAX_IN_FLIGHT: usize = 1_024;

/// The time after which an error without its end, which is all that a server sent, is its answer.
const ALONE: Duration = Duration::from_millis(200);

/// A stream of bytes in both directions.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send {}

impl<S: AsyncRead + AsyncWrite + Send> Stream for S {}

/// Sends commands over a connection.
#[derive(Clone)]
pub(crate) struct Client {
    shared: Arc<Shared>,
    /// One for each command that may be in flight.
    permits: Option<Arc<Semaphore>>,
}

/// Writes the commands of a connection, and reads what its server sends.
pub(crate) struct Driver {
    stream: Pin<Box<dyn Stream>>,
    shared: Arc<Shared>,
    writing: Vec<u8>,
    written: usize,
    is_flushed: bool,
    read: BytesMut,
    /// The value at the start of `read`.
    scan: Scan,
    /// The start of each message on the channel, up to the length of its frame.
    head: Vec<u8>,
    /// The frames that were received and not taken, and their size.
    frames: Vec<Bytes>,
    bytes: usize,
    /// True once the server has sent a value.
    has_begun: bool,
    /// Runs while the first value is an error that is not complete.
    alone: Option<Pin<Box<Sleep>>>,
    stage: Stage,
}

/// The stage of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Open,
    /// The server has ended the subscription by itself.
    Left,
    Ended,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    driver: AtomicWaker,
}

#[derive(Default)]
struct State {
    unwritten: Vec<u8>,
    /// In the order of their commands.
    callers: VecDeque<Caller>,
    has_ended: bool,
    /// The reason, if it is known.
    end: Option<(io::ErrorKind, String)>,
}

/// A caller that waits for an answer.
enum Caller {
    /// It holds its permit until then, even if it is gone.
    Parsed(
        oneshot::Sender<RedisResult<Value>>,
        Option<OwnedSemaphorePermit>,
    ),
    Unparsed(oneshot::Sender<RedisResult<Bytes>>),
}

/// The answer to a command, as the server wrote it.
pub(crate) struct Unparsed(oneshot::Receiver<RedisResult<Bytes>>);

/// Creates a connection over a stream.
pub(crate) fn connection(stream: Pin<Box<dyn Stream>>) -> (Client, Driver) {
    let shared = Arc::<Shared>::default();
    let client = Client {
        shared: Arc::clone(&shared),
        permits: None,
    };
    let driver = Driver {
        stream,
        shared,
        writing: Vec::new(),
        written: 0,
        is_flushed: true,
        read: BytesMut::new(),
        scan: Scan::new(),
        head: Vec::new(),
        frames: Vec::new(),
        bytes: 0,
        has_begun: false,
        alone: None,
        stage: Stage::Open,
    };
    (client, driver)
}

impl Client {
    /// Another client of the connection, whose commands are limited to [`MAX_IN_FLIGHT`].
    pub(crate) fn limited(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            permits: Some(Arc::new(Semaphore::new(MAX_IN_FLIGHT))),
        }
    }

    /// Queues a command before all later ones, even if the answer is never polled.
    pub(crate) fn send(
        &self,
        command: &Cmd,
    ) -> impl Future<Output = RedisResult<Value>> + Send + use<> {
        let answer = self.queue(None, |out| command.write_packed_command(out));
        self.shared.driver.wake();
        answered(answer)
    }

    /// Queues a `PUBLISH` in the same way. `head` is the [`publish_head`] of the channel. The caller
    /// polls the driver next: it is not woken.
    pub(crate) fn publish(
        &self,
        head: &[u8],
        frame: &[u8],
    ) -> impl Future<Output = RedisResult<Value>> + Send + use<> {
        answered(self.queue(None, |out| {
            out.extend_from_slice(head);
            let _ = write!(out, "{}\r\n", frame.len());
            out.extend_from_slice(frame);
            out.extend_from_slice(b"\r\n");
        }))
    }

    /// Queues an `XADD` in the same way. `head` is the [`append_head`] of the stream.
    pub(crate) fn append(
        &self,
        head: &[u8],
        frame: &[u8],
        attempt: u32,
    ) -> impl Future<Output = RedisResult<Value>> + Send + use<> {
        answered(self.queue(None, |out| write_append(out, head, frame, attempt)))
    }

    /// Queues commands that nothing comes between, before all later ones. Their answers are not
    /// parsed.
    pub(crate) fn unparsed(
        &self,
        commands: usize,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Vec<Unparsed> {
        let (callers, answers): (Vec<_>, Vec<_>) = (0..commands)
            .map(|_| oneshot::channel())
            .map(|(caller, answer)| (Caller::Unparsed(caller), Unparsed(answer)))
            .unzip();
        self.enqueue(callers, write);
        self.shared.driver.wake();
        answers
    }

    fn queue(
        &self,
        permit: Option<OwnedSemaphorePermit>,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> oneshot::Receiver<RedisResult<Value>> {
        let (caller, answer) = oneshot::channel();
        self.enqueue([Caller::Parsed(caller, permit)], write);
        answer
    }

    /// Queues commands and their callers under one lock: answers are matched by their order.
    fn enqueue(&self, callers: impl IntoIterator<Item = Caller>, write: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.shared.state.lock();
        if !state.has_ended {
            write(&mut state.unwritten);
            state.callers.extend(callers);
        }
    }

    /// The reason why the connection has ended, if it did so by itself.
    pub(crate) fn end(&self) -> Option<io::Error> {
        let (kind, text) = self.shared.state.lock().end.clone()?;
        Some(io::Error::new(kind, text))
    }

    /// Runs a command.
    pub(crate) async fn query<T: FromRedisValue>(&self, command: &Cmd) -> RedisResult<T> {
        command.query_async(&mut self.clone()).await
    }

    async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        let permits = Arc::clone(self.permits.as_ref()?);
        permits.acquire_owned().await.ok()
    }
}

impl Unparsed {
    /// Waits for the answer; an error of the server is one.
    pub(crate) async fn answer(self) -> RedisResult<Bytes> {
        let bytes = answered(self.0).await?;
        if bytes.starts_with(b"-") || bytes.starts_with(b"!") {
            redis::parse_redis_value(&bytes)?.extract_error()?;
        }
        Ok(bytes)
    }
}

async fn answered<T>(answer: oneshot::Receiver<RedisResult<T>>) -> RedisResult<T> {
    let lost = || RedisError::from(io::Error::from(io::ErrorKind::BrokenPipe));
    answer.await.unwrap_or_else(|_| Err(lost()))
}

/// The start of each `PUBLISH` on a channel, up to the length of the frame.
pub(crate) fn publish_head(channel: &Channel) -> Vec<u8> {
    let (publish, name) = (channel.kind.publish(), &channel.name);
    let (of_publish, of_name) = (publish.len(), name.len());
    format!("*3\r\n${of_publish}\r\n{publish}\r\n${of_name}\r\n{name}\r\n$").into_bytes()
}

/// The part of each `XADD` to a stream up to the length of the frame, without the number of arguments.
/// It does not create the stream.
pub(crate) fn append_head(stream: &str) -> Vec<u8> {
    let of_stream = stream.len();
    format!(
        "$4\r\nXADD\r\n${of_stream}\r\n{stream}\r\n$10\r\nNOMKSTREAM\r\n$1\r\n*\r\n$1\r\nf\r\n$"
    )
    .into_bytes()
}

/// Writes an `XADD`. The attempt is a field if it is not the first.
pub(crate) fn write_append(out: &mut Vec<u8>, head: &[u8], frame: &[u8], attempt: u32) {
    out.extend_from_slice(if attempt == 0 { b"*6\r\n" } else { b"*8\r\n" });
    out.extend_from_slice(head);
    let _ = write!(out, "{}\r\n", frame.len());
    out.extend_from_slice(frame);
    out.extend_from_slice(b"\r\n");
    if attempt > 0 {
        let attempt = attempt.to_string();
        let _ = write!(out, "$1\r\nr\r\n${}\r\n{attempt}\r\n", attempt.len());
    }
}

impl ConnectionLike for Client {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let permit = self.permit().await;
            let answer = self.queue(permit, |out| command.write_packed_command(out));
            self.shared.driver.wake();
            answered(answer).await
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let mut permit = self.permit().await;
            let mut packed = pipeline.get_packed_pipeline();
            let (callers, answers): (Vec<_>, Vec<_>) = (0..offset + count)
                .map(|_| oneshot::channel())
                .map(|(caller, answer)| (Caller::Parsed(caller, permit.take()), answer))
                .unzip();
            self.enqueue(callers, |out| out.append(&mut packed));
            self.shared.driver.wake();
            let mut values = Vec::with_capacity(answers.len());
            for answer in answers {
                values.push(answered(answer).await?);
            }
            Ok(values.split_off(offset))
        })
    }

    fn get_db(&self) -> i64 {
        0
    }
}

impl Caller {
    fn fail(self, error: RedisError) {
        match self {
            Self::Parsed(caller, _) => drop(caller.send(Err(error))),
            Self::Unparsed(caller) => drop(caller.send(Err(error))),
        }
    }
}

impl Shared {
    fn next_caller(&self) -> Option<Caller> {
        self.state.lock().callers.pop_front()
    }

    /// Ends all waits for answers.
    fn end(&self) {
        let mut state = self.state.lock();
        state.has_ended = true;
        let callers = std::mem::take(&mut state.callers);
        drop(state);
        drop(callers);
    }
}

impl Driver {
    /// Takes the frames of this channel, once the connection is subscribed to it.
    pub(crate) fn follow(&mut self, channel: &Channel) {
        let (message, name) = (channel.kind.message(), &channel.name);
        let (of_message, of_name) = (message.len(), name.len());
        let head = format!(">3\r\n${of_message}\r\n{message}\r\n${of_name}\r\n{name}\r\n$");
        self.head = head.into_bytes();
    }

    /// Returns true once the server has ended the subscription by itself.
    pub(crate) fn has_left(&self) -> bool {
        self.stage == Stage::Left
    }

    /// The bytes that the server has sent so far, until its first value is complete.
    pub(crate) fn unanswered(&self) -> Option<&[u8]> {
        (!self.has_begun).then_some(&self.read)
    }

    /// Waits for frames and puts them into `frames`. Returns false once the connection has ended.
    pub(crate) fn poll_frames(
        &mut self,
        cx: &mut Context<'_>,
        frames: &mut Vec<Bytes>,
    ) -> Poll<bool> {
        let end = if self.frames.is_empty() {
            self.poll(cx)
        } else {
            Poll::Pending
        };
        // Frames before the end come first; the end is found by the next poll.
        if self.frames.is_empty() {
            return end.map(|()| false);
        }
        self.bytes = 0;
        frames.append(&mut self.frames);
        Poll::Ready(true)
    }

    /// Writes commands and reads their answers until the connection ends.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.stage == Stage::Ended {
            return Poll::Ready(());
        }
        self.shared.driver.register(cx.waker());
        // What the server sent before it closed the connection is read although writing fails.
        let written = self.poll_write(cx);
        let end = match (self.poll_read(cx), written) {
            (Poll::Ready(error), _) | (Poll::Pending, Err(error)) => Some(error),
            (Poll::Pending, Ok(())) => None,
        };
        self.complete_error(end.is_some(), cx);
        let Some(error) = end else {
            return Poll::Pending;
        };
        self.stage = Stage::Ended;
        self.shared.state.lock().end = Some((error.kind(), error.to_string()));
        if let Some(caller) = self.shared.next_caller() {
            caller.fail(error.into());
        }
        self.shared.end();
        Poll::Ready(())
    }

    /// Completes an error that is all that the server sent: some proxies reject a client without the
    /// end of the line, and leave the connection open.
    fn complete_error(&mut self, is_all: bool, cx: &mut Context<'_>) {
        if self.has_begun || !self.read.starts_with(b"-") {
            return;
        }
        let alone = self.alone.get_or_insert_with(|| Box::pin(sleep(ALONE)));
        if is_all || alone.as_mut().poll(cx).is_ready() {
            self.read.extend_from_slice(b"\r\n");
            let _ = self.take_values();
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        loop {
            if self.written == self.writing.len() {
                self.writing.clear();
                self.writing.shrink_to(MAX_READ);
                self.written = 0;
                std::mem::swap(&mut self.writing, &mut self.shared.state.lock().unwritten);
            }
            if self.writing.is_empty() {
                if !self.is_flushed {
                    self.is_flushed = self.stream.as_mut().poll_flush(cx)?.is_ready();
                }
                return Ok(());
            }
            let rest = &self.writing[self.written..];
            match self.stream.as_mut().poll_write(cx, rest)? {
                Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(bytes) => self.written += bytes,
                Poll::Pending => return Ok(()),
            }
            self.is_flushed = false;
        }
    }

    /// Returns the reason once there is nothing more to read.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        while self.bytes < MAX_READ {
            // Memory is allocated for what has arrived, not for a length that a server claims.
            let missing = self.scan.length.saturating_sub(self.read.len());
            let room = CHUNK + missing.min(MAX_READ);
            self.read.reserve(room);
            let mut buffer = (&mut self.read).limit(room);
            match ready!(pin!(self.stream.read_buf(&mut buffer)).poll(cx)) {
                Ok(0) => return Poll::Ready(closed()),
                Ok(_) => {}
                Err(error) => return Poll::Ready(error),
            }
            if let Err(error) = self.take_values() {
                return Poll::Ready(error);
            }
        }
        Poll::Pending
    }

    fn take_values(&mut self) -> io::Result<()> {
        while let Some(end) = self.scan.end(&self.read)? {
            self.scan = Scan::new();
            self.has_begun = true;
            if !self.head.is_empty() && self.read.starts_with(&self.head) {
                let frame = self.take_frame(end)?;
                self.bytes += end;
                self.frames.push(frame);
            } else if self.read.starts_with(b">") {
                self.take_push(end);
            } else {
                self.take_answer(end);
            }
        }
        Ok(())
    }

    /// Takes the push at the start of `read`.
    fn take_push(&mut self, end: usize) {
        let push = value(&self.read[..end]);
        self.read.advance(end);
        match push {
            Ok(Value::Push { kind, .. }) if !is_answer(&kind) => {
                if kind == PushKind::SUnsubscribe {
                    self.stage = Stage::Left;
                }
            }
            answer => {
                if let Some(Caller::Parsed(caller, _)) = self.shared.next_caller() {
                    let _ = caller.send(answer);
                }
            }
        }
    }

    /// Takes the answer at the start of `read`.
    fn take_answer(&mut self, end: usize) {
        match self.shared.next_caller() {
            Some(Caller::Parsed(caller, _permit)) => {
                let _ = caller.send(value(&self.read[..end]));
                self.read.advance(end);
            }
            Some(Caller::Unparsed(caller)) => {
                let _ = caller.send(Ok(self.read.split_to(end).freeze()));
            }
            None => self.read.advance(end),
        }
    }

    /// Takes the frame of the message at the start of `read`.
    fn take_frame(&mut self, end: usize) -> io::Result<Bytes> {
        // The scan has seen this line.
        let length = &self.read[self.head.len() - 1..];
        let length = line(length)?.map_or(0, <[u8]>::len);
        let (start, end_of_frame) = (self.head.len() + length + 1, end - 2);
        if end_of_frame.checked_sub(start).ok_or_else(malformed)? < CHUNK {
            let frame = Bytes::copy_from_slice(&self.read[start..end_of_frame]);
            self.read.advance(end);
            Ok(frame)
        } else {
            Ok(self.read.split_to(end).freeze().slice(start..end_of_frame))
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.shared.end();
    }
}

fn closed() -> io::Error {
    let kind = io::ErrorKind::UnexpectedEof;
    io::Error::new(kind, "the server closed the connection")
}

/// Returns true for a push that answers a command.
fn is_answer(kind: &PushKind) -> bool {
    matches!(kind, PushKind::Subscribe | PushKind::SSubscribe)
}

/// Parses a value.
fn value(bytes: &[u8]) -> RedisResult<Value> {
    // Most answers are the number of subscribers.
    let number = bytes
        .strip_prefix(b":")
        .and_then(|rest| rest.strip_suffix(b"\r\n"));
    match number.and_then(parsed) {
        Some(number) => Ok(Value::Int(number)),
        None => redis::parse_redis_value(bytes),
    }
}
