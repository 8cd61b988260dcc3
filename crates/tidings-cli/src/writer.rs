//! Writes the lines of a stream in a thread of its own, so that a slow reader delays neither the bus nor
//! the end of the command.

use std::io;
use std::thread;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::exit::{Exit, OutputClosed, Problem};
use crate::interrupt::interrupted;
use crate::output::checked;
use crate::screen::Screen;

/// The time in which the reader must take the last lines.
const LAST: Duration = Duration::from_secs(2);

/// An item to write.
#[derive(Debug)]
pub(crate) enum Part {
    Line(String),
    /// Lines that replace the block before on a terminal.
    Block(String),
}

pub(crate) struct Writer {
    parts: mpsc::Sender<Part>,
    ended: oneshot::Receiver<io::Result<()>>,
}

impl Writer {
    /// Starts the thread. This many parts, at least one, wait for a slow reader.
    pub(crate) fn start(waiting: usize) -> Self {
        let (parts, waiting) = mpsc::channel(waiting);
        let (end, ended) = oneshot::channel();
        thread::spawn(move || {
            // Nobody waits for it if the program has ended.
            let _ = end.send(write(waiting));
        });
        Self { parts, ended }
    }

    /// Waits for room, and gives a part to the thread. Fails if the reader has gone.
    pub(crate) async fn write(&self, part: Part) -> anyhow::Result<()> {
        self.parts.send(part).await.map_err(|_| OutputClosed.into())
    }

    /// Waits until nothing can be written any more.
    pub(crate) async fn closed(&self) {
        self.parts.closed().await;
    }

    /// Writes a last part, and waits until all are written.
    pub(crate) async fn finish(self, last: Option<Part>) -> anyhow::Result<()> {
        let finish = async {
            if let Some(part) = last {
                // If the reader has gone, the end of the thread says so.
                let _ = self.write(part).await;
            }
            drop(self.parts);
            self.ended.await
        };
        let Ok(Ok(written)) = timeout(LAST, finish).await else {
            let text = "the reader of standard output did not take the last lines";
            return Err(Problem::failed(text).into());
        };
        checked(written)
    }
}

/// Runs a command that writes until a signal ends it, also while the reader is stuck. One part waits for
/// a slow reader, so that it gets few old ones.
pub(crate) async fn write_until_interrupted(
    command: impl AsyncFnOnce(&Writer) -> anyhow::Result<()>,
) -> anyhow::Result<Exit> {
    let interrupted = interrupted();
    let writer = Writer::start(1);
    let ended = tokio::select! {
        biased;
        () = interrupted => Ok(()),
        () = writer.closed() => Err(OutputClosed.into()),
        ended = command(&writer) => ended,
    };
    writer.finish(None).await?;
    ended.map(|()| Exit::Done)
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
