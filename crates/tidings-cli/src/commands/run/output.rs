//! The output of `tidings run`: lines of workers, events of the supervisor and messages, in a format.

use std::io::{self, IsTerminal as _, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use anstream::{AutoStream, ColorChoice};
use serde::Serialize;
use tidings_supervisor::{OutputLine, OutputStream, SupervisorEvent};
use tracing_subscriber::filter::LevelFilter;

use super::messages::Message;
use super::writer::Writer;
use crate::args::Format;
use crate::terminal::{Style, escape_lines, escaped_json, paint, paint_slot};

/// The time that the last output may take to be written.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Formats output and queues it for the writer. Clones write to the same queue.
#[derive(Clone, Debug)]
pub(super) struct Output {
    format: Format,
    writer: Writer,
    has_colors: bool,
    /// The width of the column with the slot.
    width: Arc<AtomicUsize>,
    is_not_ready_shown: Arc<AtomicBool>,
}

/// Adds the time to a JSON object, in RFC 3339 with milliseconds.
#[derive(Serialize)]
struct Stamped<'a, T> {
    timestamp: String,
    #[serde(flatten)]
    content: &'a T,
}

/// A line of a worker as JSON, with an `event` as all other objects.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum LineEvent<'a> {
    Line(&'a OutputLine),
}

impl Output {
    pub(super) fn start(format: Option<Format>, workers: usize) -> io::Result<Self> {
        let default = if io::stdout().is_terminal() {
            Format::Pretty
        } else {
            Format::Plain
        };
        let (stdout, stderr) = (io::stdout(), io::stderr());
        let (stdout, stderr) = (AutoStream::choice(&stdout), AutoStream::choice(&stderr));
        Ok(Self {
            format: format.unwrap_or(default),
            writer: Writer::start(stdout, stderr)?,
            has_colors: stderr != ColorChoice::Never,
            width: Arc::new(width(workers).into()),
            is_not_ready_shown: Arc::default(),
        })
    }

    /// Writes the supervisor's log lines from the level `WARN` on.
    pub(super) fn log_warnings(&self) {
        let output = self.clone();
        let warnings = tracing_subscriber::fmt()
            .with_writer(move || Warnings(output.clone()))
            .with_max_level(LevelFilter::WARN);
        if self.is_json() {
            let bare = warnings.with_ansi(false).without_time();
            bare.with_level(false).with_target(false).init();
        } else {
            warnings.with_ansi(self.has_colors).init();
        }
    }

    /// Writes a line of a worker. Blocks while the queue is full.
    pub(super) fn line(&self, line: &OutputLine) {
        let OutputLine {
            slot, stream, text, ..
        } = line;
        let width = self.width();
        let text = match self.format {
            // The reset ends colors that the line began.
            Format::Pretty => format!(
                "{} {text}\x1b[0m",
                paint_slot(*slot, format_args!("{slot:>width$} │"))
            ),
            Format::Plain => format!("{slot} | {text}"),
            Format::Json => {
                let json = json(&LineEvent::Line(line));
                return self.writer.write(OutputStream::Stdout, json);
            }
        };
        self.writer.write(*stream, text);
    }

    /// Writes an event of the supervisor. Blocks while the queue is full.
    pub(super) fn event(&self, event: &SupervisorEvent) {
        // `Message::Stopped` says the same.
        if matches!(event, SupervisorEvent::Stopped { .. }) {
            return;
        }
        if let SupervisorEvent::Scaled { to, .. } = event {
            self.width.store(width(*to), Ordering::Relaxed);
        }
        match self.format {
            Format::Pretty => self.writer.write(OutputStream::Stderr, self.pretty(event)),
            Format::Plain => self.writer.write(OutputStream::Stderr, escape_lines(event)),
            Format::Json => self.writer.write(OutputStream::Stdout, json(event)),
        }
    }

    /// Writes the help for a worker that is not ready, the first time.
    pub(super) fn not_ready(&self) {
        if !self.is_json() && !self.is_not_ready_shown.swap(true, Ordering::Relaxed) {
            self.message(&Message::NotReady);
        }
    }

    pub(super) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    pub(super) fn is_pretty(&self) -> bool {
        self.format == Format::Pretty
    }

    fn width(&self) -> usize {
        self.width.load(Ordering::Relaxed)
    }

    fn pretty(&self, event: &SupervisorEvent) -> String {
        let (mark, style) = mark(event);
        let width = self.width();
        let slot = match event.slot() {
            Some(slot) => paint_slot(slot, format_args!("{slot:>width$}")),
            None => " ".repeat(width),
        };
        let mark = paint(style, mark);
        let text = escape_lines(event);
        let text = match style {
            Style::Success => text,
            style => paint(style, text),
        };
        format!("{slot} {mark} {text}")
    }

    /// Writes a message. Drops it if the queue is full.
    pub(super) fn message(&self, message: &Message) {
        let to = match self.format {
            Format::Json => OutputStream::Stdout,
            Format::Pretty | Format::Plain => OutputStream::Stderr,
        };
        self.try_write(to, self.format(message));
    }

    fn format(&self, message: &Message) -> String {
        match (self.format, message) {
            (Format::Pretty, Message::Running(running)) => running.pretty(),
            (Format::Pretty, message) => {
                paint(message.style(), format_args!("  {}", escape_lines(message)))
            }
            (Format::Plain, message) => escape_lines(message),
            (Format::Json, message) => json(message),
        }
    }

    fn try_write(&self, to: OutputStream, text: String) {
        let dropped = |messages| self.format(&Message::MessagesDropped { messages });
        self.writer.try_write(to, text, dropped);
    }

    /// Waits for the writer, which does not outlive the process.
    pub(super) fn flush(&self) {
        self.writer.flush(FLUSH_TIMEOUT);
    }
}

/// Returns the width of the highest slot.
fn width(workers: usize) -> usize {
    workers.saturating_sub(1).to_string().len()
}

fn json(content: &impl Serialize) -> String {
    let timestamp = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
    escaped_json(&Stamped { timestamp, content }, false).expect("all keys are strings")
}

/// Writes each log line as a message.
struct Warnings(Output);

impl Write for Warnings {
    fn write(&mut self, warning: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(warning).trim_end().to_owned();
        if self.0.is_json() {
            self.0.message(&Message::Warning { text });
        } else {
            self.0.try_write(OutputStream::Stderr, text);
        }
        Ok(warning.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn mark(event: &SupervisorEvent) -> (&'static str, Style) {
    match event {
        SupervisorEvent::SlotFailed { .. }
        | SupervisorEvent::AllSlotsFailed
        | SupervisorEvent::ReloadFailed { .. } => ("✗", Style::Error),
        event if event.is_warning() => ("!", Style::Warning),
        SupervisorEvent::Ready { .. }
        | SupervisorEvent::AllReady
        | SupervisorEvent::Reloaded { .. } => ("✓", Style::Success),
        _ => ("·", Style::Dim),
    }
}
