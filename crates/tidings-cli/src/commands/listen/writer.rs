//! Writes the lines of a stream in a thread of its own, so that a slow reader does not delay the bus.

use std::io::{self, ErrorKind, Write as _};
use std::thread;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::exit::{OutputClosed, Problem};

/// The number of lines that wait for a slow reader; further ones wait in the tap, which counts what
/// does not fit.
const WAITING: usize = 64;

/// The time in which the reader must take the last lines.
const LAST: Duration = Duration::from_secs(2);

pub(super) struct Writer {
    lines: mpsc::Sender<String>,
    ended: oneshot::Receiver<io::Result<()>>,
}

impl Writer {
    pub(super) fn start() -> Self {
        let (lines, waiting) = mpsc::channel(WAITING);
        let (end, ended) = oneshot::channel();
        thread::spawn(move || {
            // Nobody waits for it if the program has ended.
            let _ = end.send(write(waiting));
        });
        Self { lines, ended }
    }

    /// Waits for room, and gives a line to the thread. Fails if the reader has gone.
    pub(super) async fn line(&self, line: String) -> anyhow::Result<()> {
        self.lines.send(line).await.map_err(|_| OutputClosed.into())
    }

    /// Waits until the last lines are written.
    pub(super) async fn finish(self) -> anyhow::Result<()> {
        drop(self.lines);
        match timeout(LAST, self.ended).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(error))) if error.kind() == ErrorKind::BrokenPipe => Err(OutputClosed.into()),
            Ok(Ok(Err(error))) => {
                let text = format!("cannot write to standard output: {error}");
                Err(Problem::failed(text).into())
            }
            Ok(Err(_)) | Err(_) => {
                let text = "the reader of standard output did not take the last lines";
                Err(Problem::failed(text).into())
            }
        }
    }
}

fn write(mut lines: mpsc::Receiver<String>) -> io::Result<()> {
    let mut stdout = anstream::AutoStream::auto(io::stdout());
    while let Some(line) = lines.blocking_recv() {
        writeln!(stdout, "{line}")?;
        // Each line is there at once, and many at a time take one write.
        if lines.is_empty() {
            stdout.flush()?;
        }
    }
    stdout.flush()
}
