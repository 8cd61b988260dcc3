//! The output of workers, line by line, and the thread that passes it on.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{fmt, io, thread};

use rustix::io::fcntl_dupfd_cloexec;
use serde::Serialize;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::{mpsc, oneshot, watch};

use crate::awake::timeout_awake;
use crate::event::SupervisorEvent;

/// Longer lines are passed on in parts.
const MAX_LINE: usize = 64 << 10;

/// The size of one read.
const READ: usize = 8 << 10;

/// The number of last lines that are kept of each worker.
const LAST_LINES: usize = 10;

/// The capacity of the queue of lines, each of up to [`MAX_LINE`], and of the queue of events. Workers
/// block in their writes when the first is full, as with any pipe; events are dropped and counted.
const QUEUE: usize = 1024;

/// The time that the lines of a dead worker wait for the queue.
const LAST_LINES_TIMEOUT: Duration = Duration::from_secs(3);

/// The maximum capacity of a pipe, unless an administrator raised it. What exceeds it in the pipe of a
/// dead worker was written by another process.
const MAX_PIPE: usize = 1 << 20;

/// A line that a worker wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct OutputLine {
    /// The worker's slot.
    pub slot: usize,
    /// The worker's process id.
    pub pid: u32,
    /// The stream that it was written to.
    pub stream: OutputStream,
    /// The line without its end, at most 64 KiB of it. Bytes that are not UTF-8 are replaced.
    pub text: String,
    /// True if the line continues in the next one of this process and stream.
    pub is_partial: bool,
}

/// An output stream of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputStream {
    /// The standard output.
    Stdout,
    /// The standard error.
    Stderr,
}

type OnLine = Box<dyn FnMut(&OutputLine) + Send>;
type OnEvent = Box<dyn FnMut(&SupervisorEvent) + Send>;

/// The callbacks for lines and events.
#[derive(Default)]
pub(crate) struct Callbacks {
    pub(crate) on_line: Option<OnLine>,
    pub(crate) on_event: Option<OnEvent>,
}

impl fmt::Debug for Callbacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callbacks")
            .field("on_line", &self.on_line.is_some())
            .field("on_event", &self.on_event.is_some())
            .finish()
    }
}

/// The queues of the thread that calls the callbacks, which may block.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    lines: mpsc::Sender<OutputLine>,
    events: mpsc::Sender<SupervisorEvent>,
    dropped: Arc<AtomicU64>,
}

enum Item {
    Line(OutputLine),
    Event(SupervisorEvent),
}

impl Output {
    /// Starts the thread. The receiver resolves when all lines and events are passed on and no sender is
    /// left.
    pub(crate) fn start(mut callbacks: Callbacks) -> io::Result<(Self, oneshot::Receiver<()>)> {
        let (lines, mut queued_lines) = mpsc::channel(QUEUE);
        let (events, mut queued_events) = mpsc::channel(QUEUE);
        let dropped: Arc<AtomicU64> = Arc::default();
        let (end, written) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let dropped_events = Arc::clone(&dropped);
        let work = move || {
            // Callbacks run outside of the runtime, where they may block.
            while let Some(item) = runtime.block_on(next(&mut queued_events, &mut queued_lines)) {
                callbacks.call(&item);
            }
            let events = dropped_events.swap(0, Ordering::Relaxed);
            if events > 0 {
                callbacks.call(&Item::Event(SupervisorEvent::EventsDropped { events }));
            }
            drop(end);
        };
        thread::Builder::new()
            .name("supervisor-output".to_owned())
            .spawn(work)?;
        let output = Self {
            lines,
            events,
            dropped,
        };
        Ok((output, written))
    }

    pub(crate) fn report(&self, event: SupervisorEvent) {
        let events = self.dropped.swap(0, Ordering::Relaxed);
        if events > 0 && !self.try_send(SupervisorEvent::EventsDropped { events }) {
            self.dropped.fetch_add(events, Ordering::Relaxed);
        }
        if !self.try_send(event) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn try_send(&self, event: SupervisorEvent) -> bool {
        self.events.try_send(event).is_ok()
    }

    /// Sends the lines in their order. Cancel safe: lines that are left were not sent.
    async fn send_all(&self, lines: &mut VecDeque<OutputLine>) {
        while !lines.is_empty() {
            let Ok(permit) = self.lines.reserve().await else {
                // A callback panicked. Workers keep running.
                lines.clear();
                return;
            };
            if let Some(line) = lines.pop_front() {
                permit.send(line);
            }
        }
    }
}

/// Returns events before lines, so that a worker that floods its output does not delay events.
async fn next(
    events: &mut mpsc::Receiver<SupervisorEvent>,
    lines: &mut mpsc::Receiver<OutputLine>,
) -> Option<Item> {
    tokio::select! {
        biased;
        Some(event) = events.recv() => Some(Item::Event(event)),
        Some(line) = lines.recv() => Some(Item::Line(line)),
        else => None,
    }
}

impl Callbacks {
    fn call(&mut self, item: &Item) {
        match (item, &mut self.on_line, &mut self.on_event) {
            (Item::Line(line), Some(on_line), _) => on_line(line),
            (Item::Line(line), None, _) => print(line),
            (Item::Event(event), _, Some(on_event)) => on_event(event),
            (Item::Event(event), _, None) if event.is_warning() => tracing::warn!("{event}"),
            (Item::Event(event), _, None) => tracing::info!("{event}"),
        }
    }
}

/// Writes a line to the same stream of this process.
fn print(line: &OutputLine) {
    let OutputLine {
        slot, stream, text, ..
    } = line;
    let _ = match stream {
        OutputStream::Stdout => writeln!(io::stdout(), "{slot} | {text}"),
        OutputStream::Stderr => writeln!(io::stderr(), "{slot} | {text}"),
    };
}

/// The last lines of a worker.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastLines(Arc<Mutex<VecDeque<String>>>);

impl LastLines {
    fn push(&self, text: &str) {
        let mut lines = self.lock();
        if lines.len() == LAST_LINES {
            lines.pop_front();
        }
        lines.push_back(text.to_owned());
    }

    pub(crate) fn take(&self) -> Vec<String> {
        self.lock().drain(..).collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The origin of lines, and where they go.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) slot: usize,
    pub(crate) pid: u32,
    pub(crate) stream: OutputStream,
    pub(crate) last_lines: LastLines,
    pub(crate) output: Output,
}

/// The pipe of one output stream of a worker.
#[derive(Debug)]
pub(crate) struct Pipe {
    source: Source,
    pipe: Receiver,
    splitter: LineSplitter,
    /// Lines that are not sent yet.
    unsent: VecDeque<OutputLine>,
}

impl Pipe {
    pub(crate) fn new(source: Source, pipe: OwnedFd) -> io::Result<Self> {
        Ok(Self {
            source,
            pipe: Receiver::from_owned_fd(pipe)?,
            splitter: LineSplitter::default(),
            unsent: VecDeque::new(),
        })
    }

    /// Passes lines on until the worker is dead, which is when the sender of `is_alive` is dropped. All
    /// its lines are read then, even if they cannot be passed on yet.
    pub(crate) async fn pass_on(mut self, mut is_alive: watch::Receiver<()>) -> UnreadLines {
        tokio::select! {
            // A worker can close the pipe long before its death.
            _ = self.pass_on_until_closed() => { let _ = is_alive.changed().await; }
            _ = is_alive.changed() => {}
        }
        self.read_rest();
        UnreadLines {
            source: self.source,
            lines: self.unsent,
        }
    }

    /// Cancel safe.
    async fn pass_on_until_closed(&mut self) -> io::Result<()> {
        loop {
            self.source.output.send_all(&mut self.unsent).await;
            self.splitter.buffer.reserve(READ);
            if self.pipe.read_buf(&mut self.splitter.buffer).await? == 0 {
                return Ok(());
            }
            self.split();
        }
    }

    /// Reads what is in the pipe of a dead worker, without waiting for other processes that hold it open.
    fn read_rest(&mut self) {
        let mut pipe = match fcntl_dupfd_cloexec(&self.pipe, 0) {
            Ok(pipe) => File::from(pipe).take(MAX_PIPE as u64),
            Err(_) => return,
        };
        // The pipe is nonblocking: an error means that it is empty, and keeps what was read before.
        let _ = pipe.read_to_end(&mut self.splitter.buffer);
        self.split();
        while let Some((text, is_partial)) = self.splitter.finish() {
            self.push(text, is_partial);
        }
    }

    fn split(&mut self) {
        while let Some((text, is_partial)) = self.splitter.next() {
            self.push(text, is_partial);
        }
    }

    fn push(&mut self, text: String, is_partial: bool) {
        self.source.last_lines.push(&text);
        let Source {
            slot, pid, stream, ..
        } = self.source;
        self.unsent.push_back(OutputLine {
            slot,
            pid,
            stream,
            text,
            is_partial,
        });
    }
}

/// The lines of a dead worker that are not passed on yet.
#[derive(Debug)]
pub(crate) struct UnreadLines {
    source: Source,
    lines: VecDeque<OutputLine>,
}

impl UnreadLines {
    /// Passes them on, and reports how many were dropped because the queue was full for too long.
    pub(crate) async fn pass_on(mut self) {
        let Source {
            slot, pid, output, ..
        } = &self.source;
        let _ = timeout_awake(LAST_LINES_TIMEOUT, output.send_all(&mut self.lines)).await;
        if !self.lines.is_empty() {
            output.report(SupervisorEvent::LinesDropped {
                slot: *slot,
                pid: *pid,
                lines: self.lines.len(),
            });
        }
    }
}

/// Splits bytes into lines, and into parts of long lines.
#[derive(Debug, Default)]
struct LineSplitter {
    buffer: Vec<u8>,
    /// The number of bytes at the begin of the buffer that hold no end of a line.
    searched: usize,
}

impl LineSplitter {
    /// Returns the next line, and whether it is only a part.
    fn next(&mut self) -> Option<(String, bool)> {
        // A line of the maximum length is followed by an end of one or two bytes.
        let window = &self.buffer[..self.buffer.len().min(MAX_LINE + 2)];
        let mut unsearched = window.iter().skip(self.searched);
        if let Some(end) = unsearched.position(|byte| *byte == b'\n') {
            let end = self.searched + end;
            let line = &self.buffer[..end];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.len() <= MAX_LINE {
                let text = text(line);
                self.consume(end + 1);
                return Some((text, false));
            }
        }
        if window.len() == MAX_LINE + 2 {
            return Some((self.part(), true));
        }
        self.searched = window.len();
        None
    }

    /// Returns the next line of what is left at the end of the stream.
    fn finish(&mut self) -> Option<(String, bool)> {
        if self.buffer.len() > MAX_LINE {
            return Some((self.part(), true));
        }
        self.searched = 0;
        let rest = std::mem::take(&mut self.buffer);
        (!rest.is_empty()).then(|| (text(&rest), false))
    }

    /// Takes a part that does not end within a UTF-8 character.
    fn part(&mut self) -> String {
        let is_boundary = |at: &usize| self.buffer[*at] & 0b1100_0000 != 0b1000_0000;
        let mut ends = (MAX_LINE - 3..=MAX_LINE).rev();
        let end = ends.find(is_boundary).unwrap_or(MAX_LINE);
        let text = text(&self.buffer[..end]);
        self.consume(end);
        text
    }

    fn consume(&mut self, bytes: usize) {
        self.buffer.drain(..bytes);
        self.searched = 0;
    }
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(parts: &[&[u8]]) -> Vec<(String, bool)> {
        let mut splitter = LineSplitter::default();
        let mut found = Vec::new();
        for part in parts {
            splitter.buffer.extend_from_slice(part);
            found.extend(std::iter::from_fn(|| splitter.next()));
        }
        found.extend(std::iter::from_fn(|| splitter.finish()));
        found
    }

    fn texts(parts: &[&[u8]]) -> Vec<String> {
        split(parts).into_iter().map(|(text, _)| text).collect()
    }

    fn lengths(parts: &[&[u8]]) -> Vec<(usize, bool)> {
        let lines = split(parts).into_iter();
        lines
            .map(|(text, is_partial)| (text.len(), is_partial))
            .collect()
    }

    #[test]
    fn lines_are_whole_however_they_arrive() {
        assert_eq!(texts(&[b"a\nb", b"c\r\n", b"\nd"]), ["a", "bc", "", "d"]);
        assert!(split(&[]).is_empty());
    }

    #[test]
    fn a_long_line_is_split_into_marked_parts_and_invalid_utf8_is_replaced() {
        let long = vec![b'x'; MAX_LINE * 2 + 1];
        let parts = lengths(&[&long, b"\n\xff\n"]);
        assert_eq!(
            parts,
            [(MAX_LINE, true), (MAX_LINE, true), (1, false), (3, false)]
        );
        assert_eq!(texts(&[b"\xff"]), ["\u{fffd}"]);
    }

    #[test]
    fn a_line_of_the_maximum_length_is_whole_with_any_end() {
        let longest = vec![b'x'; MAX_LINE];
        for end in ["\n", "\r\n", ""] {
            assert_eq!(lengths(&[&longest, end.as_bytes()]), [(MAX_LINE, false)]);
        }
        let longer = vec![b'x'; MAX_LINE + 1];
        for end in ["\n", "\r\n", ""] {
            let parts = lengths(&[&longer, end.as_bytes()]);
            assert_eq!(parts, [(MAX_LINE, true), (1, false)]);
        }
    }

    #[test]
    fn no_character_is_split() {
        for before in 1..4 {
            let text = "x".repeat(MAX_LINE - before) + "\u{1f980}";
            let parts = texts(&[text.as_bytes(), b"\n"]);
            assert_eq!(parts.concat(), text);
            assert_eq!(parts[1], "\u{1f980}");
        }
    }

    #[test]
    fn a_carriage_return_is_removed_only_at_the_end_of_a_line() {
        let mut long = vec![b'x'; MAX_LINE * 2];
        long[MAX_LINE - 1] = b'\r';
        assert!(texts(&[&long, b"\n"])[0].ends_with('\r'));
        assert_eq!(texts(&[b"50%\r"]), ["50%\r"]);
    }

    #[test]
    fn only_the_last_lines_are_kept() {
        let last_lines = LastLines::default();
        (0..LAST_LINES + 5).for_each(|number| last_lines.push(&number.to_string()));
        let kept = last_lines.take();
        assert_eq!((kept.len(), &*kept[0]), (LAST_LINES, "5"));
    }
}
