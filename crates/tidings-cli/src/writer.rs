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

    /// Writes the last part of a command that has ended, and waits until all are written. Its own error
    /// matters more than one of the output.
    pub(crate) async fn finish(self, ended: anyhow::Result<Option<Part>>) -> anyhow::Result<()> {
        match ended {
            Ok(last) => self.write_rest(last).await,
            // The end of the thread has the reason.
            Err(error) if error.is::<OutputClosed>() => self.write_rest(None).await.and(Err(error)),
            Err(error) => {
                let _ = self.write_rest(None).await;
                Err(error)
            }
        }
    }

    async fn write_rest(self, last: Option<Part>) -> anyhow::Result<()> {
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
    writer.finish(ended.map(|()| None)).await?;
    Ok(Exit::Done)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_error_of_a_command_is_reported_while_its_reader_is_stuck_or_gone() {
        for is_gone in [false, true] {
            let (parts, _unread) = mpsc::channel(1);
            let (end, ended) = oneshot::channel();
            let mut end = Some(end);
            if is_gone {
                let closed = Err(io::ErrorKind::BrokenPipe.into());
                let _ = end.take().map(|end| end.send(closed));
            }
            let writer = Writer { parts, ended };
            let failed = Problem::new(Exit::Unknown, "its own").into();
            let error = writer.finish(Err(failed)).await.unwrap_err();
            assert_eq!(error.to_string(), "its own");
            drop(end);
        }
    }
}
