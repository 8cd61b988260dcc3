//! What workers write, line by line.

use std::collections::VecDeque;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::{fmt, io, thread};

use serde::Serialize;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::{mpsc, oneshot};

use crate::report::Report;

/// Longer lines are passed on in parts.
const LONGEST: usize = 8 << 10;

/// How many lines are kept of a worker, to be shown when it dies.
const LAST: usize = 10;

/// How many lines and reports may wait to be written. When it is full, workers wait in their writes,
/// as with any pipe that nobody reads; reports are counted instead.
const QUEUE: usize = 1024;

/// A line that a worker wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Line {
    /// Its slot.
    pub slot: usize,
    /// Its process.
    pub pid: u32,
    /// Where it wrote it.
    pub stream: Stream,
    /// Without the end of the line; what is not UTF-8 is replaced. At most 8 KiB, and longer lines come
    /// in parts.
    pub text: String,
}

/// Where a worker wrote something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Its standard output.
    Stdout,
    /// Its standard error.
    Stderr,
}

type OnLine = Box<dyn FnMut(&Line) + Send>;
type OnReport = Box<dyn FnMut(&Report) + Send>;

/// Who is given lines and reports.
#[derive(Default)]
pub(crate) struct Readers {
    pub(crate) on_line: Option<OnLine>,
    pub(crate) on_report: Option<OnReport>,
}

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readers")
            .field("on_line", &self.on_line.is_some())
            .field("on_report", &self.on_report.is_some())
            .finish()
    }
}

/// The way to those who read, who have a thread of their own: writing may take for ever.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    queue: mpsc::Sender<Item>,
    missed: Arc<AtomicU64>,
}

enum Item {
    Line(Line),
    Report(Report),
}

impl Output {
    /// And what resolves when all is written that anybody had to say.
    pub(crate) fn start(mut readers: Readers) -> io::Result<(Self, oneshot::Receiver<()>)> {
        let (queue, mut waiting) = mpsc::channel(QUEUE);
        let (end, written) = oneshot::channel();
        let work = move || {
            while let Some(item) = waiting.blocking_recv() {
                readers.take(&item);
            }
            drop(end);
        };
        thread::Builder::new()
            .name("supervisor-output".to_owned())
            .spawn(work)?;
        let missed = Arc::default();
        Ok((Self { queue, missed }, written))
    }

    pub(crate) fn report(&self, report: Report) {
        let missed = self.missed.swap(0, Ordering::Relaxed);
        if missed > 0 && !self.put(Report::Missed { reports: missed }) {
            self.missed.fetch_add(missed, Ordering::Relaxed);
        }
        if !self.put(report) {
            self.missed.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn put(&self, report: Report) -> bool {
        self.queue.try_send(Item::Report(report)).is_ok()
    }

    async fn line(&self, line: Line) {
        // Fails only when the reader panicked; a worker's life does not depend on who reads it.
        let _ = self.queue.send(Item::Line(line)).await;
    }
}

impl Readers {
    fn take(&mut self, item: &Item) {
        match (item, &mut self.on_line, &mut self.on_report) {
            (Item::Line(line), Some(on_line), _) => on_line(line),
            (Item::Line(line), None, _) => pass_on(line),
            (Item::Report(report), _, Some(on_report)) => on_report(report),
            (Item::Report(report), _, None) if report.is_trouble() => tracing::warn!("{report}"),
            (Item::Report(report), _, None) => tracing::info!("{report}"),
        }
    }
}

/// To where this process itself writes.
fn pass_on(
    Line {
        slot, stream, text, ..
    }: &Line,
) {
    let _ = match stream {
        Stream::Stdout => writeln!(io::stdout(), "{slot} | {text}"),
        Stream::Stderr => writeln!(io::stderr(), "{slot} | {text}"),
    };
}

/// The last lines of a worker.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastLines(Arc<Mutex<VecDeque<String>>>);

impl LastLines {
    fn push(&self, text: &str) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LAST {
            lines.pop_front();
        }
        lines.push_back(text.to_owned());
    }

    pub(crate) fn take(&self) -> Vec<String> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.drain(..).collect()
    }
}

/// Whose lines they are.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) slot: usize,
    pub(crate) pid: u32,
    pub(crate) last: LastLines,
    pub(crate) output: Output,
}

impl Source {
    /// Passes on all that comes out of `pipe`, until its other end is closed.
    pub(crate) async fn pass_on(self, stream: Stream, pipe: OwnedFd) -> io::Result<()> {
        let mut pipe = Receiver::from_owned_fd(pipe)?;
        let mut lines = Lines::default();
        loop {
            lines.rest.reserve(LONGEST);
            if pipe.read_buf(&mut lines.rest).await? == 0 {
                break;
            }
            while let Some(text) = lines.next() {
                self.line(stream, text).await;
            }
        }
        if let Some(text) = lines.end() {
            self.line(stream, text).await;
        }
        Ok(())
    }

    async fn line(&self, stream: Stream, text: String) {
        self.last.push(&text);
        let (slot, pid) = (self.slot, self.pid);
        let line = Line {
            slot,
            pid,
            stream,
            text,
        };
        self.output.line(line).await;
    }
}

/// Cuts what comes in into lines.
#[derive(Debug, Default)]
struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    fn next(&mut self) -> Option<String> {
        let looked_at = &self.rest[..self.rest.len().min(LONGEST)];
        let end = looked_at.iter().position(|byte| *byte == b'\n');
        match end {
            Some(end) => {
                let text = text(&self.rest[..end]);
                self.rest.drain(..=end);
                Some(text)
            }
            None if self.rest.len() >= LONGEST => {
                let text = text(&self.rest[..LONGEST]);
                self.rest.drain(..LONGEST);
                Some(text)
            }
            None => None,
        }
    }

    /// What is left when no more comes.
    fn end(self) -> Option<String> {
        (!self.rest.is_empty()).then(|| text(&self.rest))
    }
}

fn text(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    String::from_utf8_lossy(line).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(parts: &[&[u8]]) -> Vec<String> {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        for part in parts {
            lines.rest.extend_from_slice(part);
            found.extend(std::iter::from_fn(|| lines.next()));
        }
        found.extend(lines.end());
        found
    }

    #[test]
    fn lines_come_whole_however_they_arrive() {
        assert_eq!(cut(&[b"a\nb", b"c\r\n", b"\nd"]), ["a", "bc", "", "d"]);
        assert!(cut(&[]).is_empty());
    }

    #[test]
    fn a_line_without_end_comes_in_parts_and_what_is_no_text_is_replaced() {
        let long = vec![b'x'; LONGEST * 2 + 1];
        let parts = cut(&[&long, b"\n\xff\n"]);
        assert_eq!(
            parts.iter().map(String::len).collect::<Vec<_>>(),
            [LONGEST, LONGEST, 1, 3]
        );
        assert_eq!(parts[3], "\u{fffd}");
    }

    #[test]
    fn only_the_last_lines_are_kept() {
        let last = LastLines::default();
        (0..LAST + 5).for_each(|number| last.push(&number.to_string()));
        let kept = last.take();
        assert_eq!((kept.len(), &*kept[0]), (LAST, "5"));
    }
}
