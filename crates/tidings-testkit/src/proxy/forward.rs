//! Forwards one connection to the server and back, until it ends or a fault ends it.

use std::collections::VecDeque;
use std::future::pending;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::fault::{Direction, Fault, Treatment};

/// The bytes that may wait in each direction; further bytes wait in the sender.
const ROOM: usize = 1 << 20;
const READ_AT_ONCE: usize = 64 << 10;

type Faults = watch::Receiver<Fault>;

/// The end of a connection.
enum End {
    /// Both sides are told.
    Closed,
    Reset,
    /// Only the server is told.
    Silent,
}

/// Forwards a connection. Both sockets are closed when this returns.
pub(super) async fn forward(mut client: TcpStream, to: SocketAddr, faults: &Faults) {
    let mut server = None;
    let end = tokio::select! {
        biased;
        end = end_by_fault(faults.clone()) => end,
        end = pass(&mut client, &mut server, to, faults) => end,
    };
    match end {
        End::Closed => {}
        End::Reset => reset(client, server),
        End::Silent => {
            drop(server);
            ignore_client(client, faults.clone()).await;
        }
    }
}

async fn end_by_fault(mut faults: Faults) -> End {
    let ends = |fault: &Fault| matches!(fault, Fault::Reset | Fault::SilentClose);
    match faults.wait_for(ends).await.as_deref() {
        Ok(Fault::SilentClose) => End::Silent,
        _ => End::Reset,
    }
}

/// Resets both ends: each side gets an RST, and unsent bytes are lost.
fn reset(client: TcpStream, server: Option<TcpStream>) {
    for socket in [Some(client), server].into_iter().flatten() {
        // It fails for a socket that is reset already.
        let _ = SockRef::from(&socket).set_linger(Some(Duration::ZERO));
    }
}

/// Reads and ignores the client's bytes, until it closes or is reset.
async fn ignore_client(mut client: TcpStream, mut faults: Faults) {
    let mut bytes = vec![0; READ_AT_ONCE];
    let closes = async { while let Ok(1..) = client.read(&mut bytes).await {} };
    let is_reset = tokio::select! {
        () = closes => false,
        _ = faults.wait_for(|fault| *fault == Fault::Reset) => true,
    };
    if is_reset {
        reset(client, None);
    }
}

async fn pass(
    client: &mut TcpStream,
    server: &mut Option<TcpStream>,
    to: SocketAddr,
    faults: &Faults,
) -> End {
    let may_connect = |fault: &Fault| !fault.keeps_from_connecting();
    if faults.clone().wait_for(may_connect).await.is_err() {
        return End::Reset;
    }
    let Ok(connected) = TcpStream::connect(to).await else {
        return End::Reset;
    };
    let server = server.insert(connected);
    // Small pieces must leave as they are. It fails for a socket that is closed already.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));

    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let there = pass_on(Direction::ToServer, from_client, to_server, faults.clone());
    let back = pass_on(Direction::ToClient, from_server, to_client, faults.clone());
    match tokio::try_join!(there, back) {
        Ok(_) => End::Closed,
        Err(Reset) => End::Reset,
    }
}

/// This direction ends the other one too.
struct Reset;

/// Forwards one direction, until its source closes or its target is gone.
async fn pass_on(
    direction: Direction,
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut faults: Faults,
) -> Result<(), Reset> {
    let mut buffer = BytesMut::new();
    let mut held = Held::default();
    let mut treatment = faults.borrow_and_update().treatment(direction);
    loop {
        if treatment == Treatment::Drop {
            held.drop_bytes();
        }
        tokio::select! {
            // Faults first: they apply to all bytes that arrive later.
            biased;
            changed = faults.changed() => {
                changed.map_err(|_| Reset)?;
                treatment = faults.borrow_and_update().treatment(direction);
            }
            step = write_first(&mut to, held.first(), treatment) => match step {
                Output::Wrote(bytes) => {
                    held.gone(bytes);
                    treatment = treatment.after(bytes);
                }
                Output::Closed => return Ok(()),
                Output::Reset => return Err(Reset),
            },
            input = read(&mut from, &mut buffer), if held.has_room() => held.push(input),
        }
    }
}

impl Treatment {
    fn after(mut self, bytes: usize) -> Self {
        if let Treatment::Pass { left, .. } = &mut self {
            *left = left.saturating_sub(bytes as u64);
        }
        self
    }
}

/// An input of one side.
enum Input {
    Bytes(Bytes),
    Close,
    Reset,
}

/// Reads from one side. Cancel safe.
async fn read(from: &mut ReadHalf<'_>, buffer: &mut BytesMut) -> Input {
    buffer.reserve(READ_AT_ONCE);
    match from.read_buf(buffer).await {
        Ok(0) => Input::Close,
        Ok(_) => Input::Bytes(buffer.split().freeze()),
        Err(_) => Input::Reset,
    }
}

/// The result of a write to the other side.
enum Output {
    Wrote(usize),
    Closed,
    Reset,
}

/// Waits until the first input may be forwarded, and forwards it. Cancel safe.
async fn write_first(
    to: &mut WriteHalf<'_>,
    first: Option<&Arrived>,
    treatment: Treatment,
) -> Output {
    let Treatment::Pass { delay, slice, left } = treatment else {
        return pending().await;
    };
    if left == 0 {
        return Output::Reset;
    }
    let Some(first) = first else {
        return pending().await;
    };
    if !delay.is_zero() {
        sleep_until(first.at + delay).await;
    }
    match &first.input {
        Input::Bytes(bytes) => {
            let left = usize::try_from(left).unwrap_or(usize::MAX);
            let piece = &bytes[..bytes.len().min(slice).min(left)];
            // A closed connection is reported by the other direction.
            to.write(piece).await.map_or(Output::Closed, Output::Wrote)
        }
        Input::Close => {
            let _ = to.shutdown().await;
            Output::Closed
        }
        Input::Reset => Output::Reset,
    }
}

struct Arrived {
    at: Instant,
    input: Input,
}

/// Inputs that were read and not yet forwarded, in order.
#[derive(Default)]
struct Held {
    all: VecDeque<Arrived>,
    bytes: usize,
    has_ended: bool,
}

impl Held {
    fn has_room(&self) -> bool {
        self.bytes < ROOM && !self.has_ended
    }

    fn first(&self) -> Option<&Arrived> {
        self.all.front()
    }

    fn push(&mut self, input: Input) {
        match &input {
            Input::Bytes(bytes) => self.bytes += bytes.len(),
            Input::Close | Input::Reset => self.has_ended = true,
        }
        let at = Instant::now();
        self.all.push_back(Arrived { at, input });
    }

    /// Removes this many bytes of the first input.
    fn gone(&mut self, count: usize) {
        self.bytes -= count;
        if let Some(Input::Bytes(bytes)) = self.all.front_mut().map(|first| &mut first.input) {
            bytes.advance(count);
            if bytes.is_empty() {
                self.all.pop_front();
            }
        }
    }

    fn drop_bytes(&mut self) {
        self.bytes = 0;
        self.all.retain(|one| !matches!(one.input, Input::Bytes(_)));
    }
}
