//! What workers write, line by line.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
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
const LONGEST: usize = 64 << 10;

/// How much is read at once.
const READ: usize = 8 << 10;

/// How many lines are kept of a worker, to be shown when it dies.
const LAST: usize = 10;

/// How many lines may wait to be written, of 64 KiB at most each, and how many events. Without a place for their lines
/// workers wait in their writes, as with any pipe that nobody reads; events are counted instead.
const QUEUE: usize = 1024;

/// How long the lines of a dead worker wait for a place.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// As much as a pipe holds at most, where nobody raised that; more of a dead worker is a stray's.
const PIPE: usize = 1 << 20;

/// A line that a worker wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct OutputLine {
    /// Its slot.
    pub slot: usize,
    /// Its process.
    pub pid: u32,
    /// Where it wrote it.
    pub stream: OutputStream,
    /// Without the end of the line; what is not UTF-8 is replaced. Of at most 64 KiB that were written,
    /// and longer lines come in parts.
    pub text: String,
    /// The line goes on in the next one of this process and stream.
    pub is_partial: bool,
}

/// Where a worker wrote something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputStream {
    /// Its standard output.
    Stdout,
    /// Its standard error.
    Stderr,
}

type OnLine = Box<dyn FnMut(&OutputLine) + Send>;
type OnReport = Box<dyn FnMut(&SupervisorEvent) + Send>;

/// Who is given lines and events.
#[derive(Default)]
pub(crate) struct Readers {
    pub(crate) on_line: Option<OnLine>,
    pub(crate) on_event: Option<OnReport>,
}

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readers")
            .field("on_line", &self.on_line.is_some())
            .field("on_event", &self.on_event.is_some())
            .finish()
    }
}

/// The way to those who read, who have a thread of their own: writing may take for ever.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    lines: mpsc::Sender<OutputLine>,
    events: mpsc::Sender<SupervisorEvent>,
    missed: Arc<AtomicU64>,
}

enum Item {
    Line(OutputLine),
    Event(SupervisorEvent),
}

impl Output {
    /// And what resolves when all is written that anybody had to say.
    pub(crate) fn start(mut readers: Readers) -> io::Result<(Self, oneshot::Receiver<()>)> {
        let (lines, mut waiting_lines) = mpsc::channel(QUEUE);
        let (events, mut waiting_reports) = mpsc::channel(QUEUE);
        let missed: Arc<AtomicU64> = Arc::default();
        let (end, written) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let missing = Arc::clone(&missed);
        let work = move || {
            // Who reads is called outside of the runtime, where it may block.
            while let Some(item) = runtime.block_on(next(&mut waiting_reports, &mut waiting_lines))
            {
                readers.take(&item);
            }
            let events = missing.swap(0, Ordering::Relaxed);
            if events > 0 {
                readers.take(&Item::Event(SupervisorEvent::EventsDropped { events }));
            }
            drop(end);
        };
        thread::Builder::new()
            .name("supervisor-output".to_owned())
            .spawn(work)?;
        let output = Self {
            lines,
            events,
            missed,
        };
        Ok((output, written))
    }

    pub(crate) fn report(&self, event: SupervisorEvent) {
        let missed = self.missed.swap(0, Ordering::Relaxed);
        if missed > 0 && !self.put(SupervisorEvent::EventsDropped { events: missed }) {
            self.missed.fetch_add(missed, Ordering::Relaxed);
        }
        if !self.put(event) {
            self.missed.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn put(&self, event: SupervisorEvent) -> bool {
        self.events.try_send(event).is_ok()
    }
}

/// Reports first: they are few, and a worker that floods does not keep them waiting.
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

impl Readers {
    fn take(&mut self, item: &Item) {
        match (item, &mut self.on_line, &mut self.on_event) {
            (Item::Line(line), Some(on_line), _) => on_line(line),
            (Item::Line(line), None, _) => pass_on(line),
            (Item::Event(event), _, Some(on_event)) => on_event(event),
            (Item::Event(event), _, None) if event.is_warning() => tracing::warn!("{event}"),
            (Item::Event(event), _, None) => tracing::info!("{event}"),
        }
    }
}

/// To where this process itself writes.
fn pass_on(
    OutputLine {
        slot, stream, text, ..
    }: &OutputLine,
) {
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
    pub(crate) stream: OutputStream,
    pub(crate) last: LastLines,
    pub(crate) output: Output,
}

/// What comes out of one pipe of a worker.
#[derive(Debug)]
pub(crate) struct Pipe {
    source: Source,
    pipe: Receiver,
    lines: Lines,
    /// Those for which there was no place yet.
    waiting: VecDeque<OutputLine>,
}

impl Pipe {
    pub(crate) fn of(source: Source, pipe: OwnedFd) -> io::Result<Self> {
        Ok(Self {
            source,
            pipe: Receiver::from_owned_fd(pipe)?,
            lines: Lines::default(),
            waiting: VecDeque::new(),
        })
    }

    /// Passes on all that comes, until the worker is dead, which is when nobody holds the other end of
    /// `life` any more. Its last lines are known then, whoever keeps it waiting.
    pub(crate) async fn pass_on(mut self, mut life: watch::Receiver<()>) -> LastWords {
        tokio::select! {
            // Its other end may be closed, or broken, long before the death.
            _ = self.pass_all_on() => { let _ = life.changed().await; }
            _ = life.changed() => {}
        }
        self.read_rest();
        LastWords {
            source: self.source,
            waiting: self.waiting,
        }
    }

    /// Until the other end is closed. When this is dropped, nothing is lost.
    async fn pass_all_on(&mut self) -> io::Result<()> {
        loop {
            while !self.waiting.is_empty() {
                let Ok(place) = self.source.output.lines.reserve().await else {
                    // The reader panicked; a worker's life does not depend on who reads it.
                    self.waiting.clear();
                    break;
                };
                if let Some(line) = self.waiting.pop_front() {
                    place.send(line);
                }
            }
            self.lines.rest.reserve(READ);
            if self.pipe.read_buf(&mut self.lines.rest).await? == 0 {
                return Ok(());
            }
            self.cut();
        }
    }

    /// What is in the pipe of a dead worker. That is all: who still holds it is none of ours.
    fn read_rest(&mut self) {
        let mut pipe = match fcntl_dupfd_cloexec(&self.pipe, 0) {
            Ok(pipe) => File::from(pipe).take(PIPE as u64),
            Err(_) => return,
        };
        // It does not block: what comes before it would is in `rest` all the same.
        let _ = pipe.read_to_end(&mut self.lines.rest);
        self.cut();
        while let Some((text, is_partial)) = self.lines.end() {
            self.keep(text, is_partial);
        }
    }

    fn cut(&mut self) {
        while let Some((text, is_partial)) = self.lines.next() {
            self.keep(text, is_partial);
        }
    }

    fn keep(&mut self, text: String, is_partial: bool) {
        self.source.last.push(&text);
        let Source {
            slot, pid, stream, ..
        } = self.source;
        self.waiting.push_back(OutputLine {
            slot,
            pid,
            stream,
            text,
            is_partial,
        });
    }
}

/// What a dead worker wrote and nobody took yet.
#[derive(Debug)]
pub(crate) struct LastWords {
    source: Source,
    waiting: VecDeque<OutputLine>,
}

impl LastWords {
    /// Passes it on, and tells how much of it nobody took in time.
    pub(crate) async fn pass_on(mut self) {
        let Source {
            slot, pid, output, ..
        } = &self.source;
        let all_taken = async {
            while !self.waiting.is_empty() {
                let Ok(place) = output.lines.reserve().await else {
                    return;
                };
                if let Some(line) = self.waiting.pop_front() {
                    place.send(line);
                }
            }
        };
        // Whether all are taken is seen by what is left.
        let _ = timeout_awake(LAST_WORDS, all_taken).await;
        if !self.waiting.is_empty() {
            output.report(SupervisorEvent::LinesDropped {
                slot: *slot,
                pid: *pid,
                lines: self.waiting.len(),
            });
        }
    }
}

/// Cuts what comes in into lines, and into parts of lines.
#[derive(Debug, Default)]
struct Lines {
    rest: Vec<u8>,
    /// So many bytes at its beginning hold no end of a line.
    endless: usize,
}

impl Lines {
    /// The next one, and whether it is only a part.
    fn next(&mut self) -> Option<(String, bool)> {
        // The longest line has its end behind it, of one or two bytes.
        let looked_at = &self.rest[..self.rest.len().min(LONGEST + 2)];
        let mut new = looked_at.iter().skip(self.endless);
        if let Some(end) = new.position(|byte| *byte == b'\n') {
            let end = self.endless + end;
            let line = &self.rest[..end];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.len() <= LONGEST {
                let text = text(line);
                self.take(end + 1);
                return Some((text, false));
            }
        }
        if looked_at.len() == LONGEST + 2 {
            return Some((self.part(), true));
        }
        self.endless = looked_at.len();
        None
    }

    /// The next one of what is left when no more comes.
    fn end(&mut self) -> Option<(String, bool)> {
        if self.rest.len() > LONGEST {
            return Some((self.part(), true));
        }
        self.endless = 0;
        let rest = std::mem::take(&mut self.rest);
        (!rest.is_empty()).then(|| (text(&rest), false))
    }

    /// Not in the middle of a character, if it is text.
    fn part(&mut self) -> String {
        let is_boundary = |at: &usize| self.rest[*at] & 0b1100_0000 != 0b1000_0000;
        let mut ends = (LONGEST - 3..=LONGEST).rev();
        let end = ends.find(is_boundary).unwrap_or(LONGEST);
        let text = text(&self.rest[..end]);
        self.take(end);
        text
    }

    fn take(&mut self, bytes: usize) {
        self.rest.drain(..bytes);
        self.endless = 0;
    }
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(parts: &[&[u8]]) -> Vec<(String, bool)> {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        for part in parts {
            lines.rest.extend_from_slice(part);
            found.extend(std::iter::from_fn(|| lines.next()));
        }
        found.extend(std::iter::from_fn(|| lines.end()));
        found
    }

    fn texts(parts: &[&[u8]]) -> Vec<String> {
        cut(parts).into_iter().map(|(text, _)| text).collect()
    }

    fn lengths(parts: &[&[u8]]) -> Vec<(usize, bool)> {
        let cut = cut(parts).into_iter();
        cut.map(|(text, is_partial)| (text.len(), is_partial))
            .collect()
    }

    #[test]
    fn lines_come_whole_however_they_arrive() {
        assert_eq!(texts(&[b"a\nb", b"c\r\n", b"\nd"]), ["a", "bc", "", "d"]);
        assert!(cut(&[]).is_empty());
    }

    #[test]
    fn a_line_without_end_comes_in_parts_that_say_so_and_what_is_no_text_is_replaced() {
        let long = vec![b'x'; LONGEST * 2 + 1];
        let parts = lengths(&[&long, b"\n\xff\n"]);
        assert_eq!(
            parts,
            [(LONGEST, true), (LONGEST, true), (1, false), (3, false)]
        );
        assert_eq!(texts(&[b"\xff"]), ["\u{fffd}"]);
    }

    #[test]
    fn the_longest_line_is_whole_whatever_ends_it() {
        let longest = vec![b'x'; LONGEST];
        for end in ["\n", "\r\n", ""] {
            assert_eq!(lengths(&[&longest, end.as_bytes()]), [(LONGEST, false)]);
        }
        let longer = vec![b'x'; LONGEST + 1];
        for end in ["\n", "\r\n", ""] {
            let parts = lengths(&[&longer, end.as_bytes()]);
            assert_eq!(parts, [(LONGEST, true), (1, false)]);
        }
    }

    #[test]
    fn no_character_is_cut_in_two() {
        for before in 1..4 {
            let text = "x".repeat(LONGEST - before) + "\u{1f980}";
            let parts = texts(&[text.as_bytes(), b"\n"]);
            assert_eq!(parts.concat(), text);
            assert_eq!(parts[1], "\u{1f980}");
        }
    }

    #[test]
    fn a_return_belongs_to_the_end_of_a_line_and_to_nothing_else() {
        let mut long = vec![b'x'; LONGEST * 2];
        long[LONGEST - 1] = b'\r';
        assert!(texts(&[&long, b"\n"])[0].ends_with('\r'));
        assert_eq!(texts(&[b"50%\r"]), ["50%\r"]);
    }

    #[test]
    fn only_the_last_lines_are_kept() {
        let last = LastLines::default();
        (0..LAST + 5).for_each(|number| last.push(&number.to_string()));
        let kept = last.take();
        assert_eq!((kept.len(), &*kept[0]), (LAST, "5"));
    }
}
