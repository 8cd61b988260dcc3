//! Writes the lines of a stream in a thread of its own, so that a slow reader does not delay the bus.

use std::io;
use std::thread;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::exit::{OutputClosed, Problem};
use crate::output::checked;
use crate::screen::Screen;

/// The number of lines that wait for a slow reader; further ones wait in the tap, which counts what
/// does not fit.
const WAITING: usize = 64;

/// The time in which the reader must take the last lines.
const LAST: Duration = Duration::from_secs(2);

/// An item to write.
#[derive(Debug)]
pub(super) enum Part {
    Line(String),
    /// Lines that replace the block before on a terminal.
    Block(String),
}

pub(super) struct Writer {
    parts: mpsc::Sender<Part>,
    ended: oneshot::Receiver<io::Result<()>>,
}

impl Writer {
    pub(super) fn start() -> Self {
        let (parts, waiting) = mpsc::channel(WAITING);
        let (end, ended) = oneshot::channel();
        thread::spawn(move || {
            // Nobody waits for it if the program has ended.
            let _ = end.send(write(waiting));
        });
        Self { parts, ended }
    }

    /// Waits for room, and gives a part to the thread. Fails if the reader has gone.
    pub(super) async fn write(&self, part: Part) -> anyhow::Result<()> {
        self.parts.send(part).await.map_err(|_| OutputClosed.into())
    }

    /// Waits until nothing can be written any more.
    pub(super) async fn closed(&self) {
        self.parts.closed().await;
    }

    /// Waits until the last lines are written.
    pub(super) async fn finish(self) -> anyhow::Result<()> {
        drop(self.parts);
        let Ok(Ok(written)) = timeout(LAST, self.ended).await else {
            let text = "the reader of standard output did not take the last lines";
            return Err(Problem::failed(text).into());
        };
        checked(written)
    }
}

fn write(mut parts: mpsc::Receiver<Part>) -> io::Result<()> {
    let mut screen = Screen::new();
    while let Some(part) = parts.blocking_recv() {
        match part {
            Part::Line(line) => screen.line(&line)?,
            Part::Block(block) => screen.draw(&block)?,
        }
        // Each line is there at once, and many at a time take one write.
        if parts.is_empty() {
            Screen::flush()?;
        }
    }
    Screen::flush()
}
