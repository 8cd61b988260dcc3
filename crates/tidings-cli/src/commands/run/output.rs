//! The output of `tidings run`: lines of workers, events of the supervisor and messages, in a format.

use std::io::{self, IsTerminal as _, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use anstream::{AutoStream, ColorChoice};
use serde::Serialize;
use tidings_supervisor::{OutputLine, OutputStream, SupervisorEvent};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use super::messages::Message;
use super::writer::Writer;
use crate::args::Format;
use crate::connect::log_level;
use crate::terminal::{Style, escape_lines, escaped_json, paint, paint_slot};

/// The time that the last output may take to be written.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Formats output and queues it for the writer. Clones write to the same queue.
#[derive(Clone, Debug)]
pub(super) struct Output {
    format: Format,
    writer: Writer,
    has_colors: bool,
    /// Of the supervisor itself, only errors and losses are written. JSON has all events.
    is_quiet: bool,
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
    pub(super) fn start(
        format: Option<Format>,
        workers: usize,
        is_quiet: bool,
    ) -> io::Result<Self> {
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
            is_quiet,
            width: Arc::new(width(workers).into()),
            is_not_ready_shown: Arc::default(),
        })
    }

    /// Writes the supervisor's log lines to standard error: without `-v` from the level `WARN` on, with
    /// `-q` only errors. In JSON, warnings are events, and only `-v` writes the log.
    pub(super) fn log(&self, verbosity: u8) {
        let writer = |write| LogWriter {
            output: self.clone(),
            write,
        };
        let log = writer(|output, line| output.try_write(OutputStream::Stderr, line));
        let warnings = writer(|output, text| output.message(&Message::Warning { text }));
        let default = if self.is_json() {
            LevelFilter::OFF
        } else if self.is_quiet {
            LevelFilter::ERROR
        } else {
            LevelFilter::WARN
        };
        let log = tracing_subscriber::fmt::layer()
            .with_writer(move || log.clone())
            .with_ansi(self.has_colors)
            .with_filter(log_level(verbosity).unwrap_or(default));
        let warnings = tracing_subscriber::fmt::layer()
            .with_writer(move || warnings.clone())
            .with_ansi(false)
            .without_time()
            .with_level(false)
            .with_target(false)
            .with_filter(LevelFilter::WARN);
        let warnings = self.is_json().then_some(warnings);
        tracing_subscriber::registry()
            .with(warnings)
            .with(log)
            .init();
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
        let is_loss = matches!(
            event,
            SupervisorEvent::LinesDropped { .. } | SupervisorEvent::EventsDropped { .. }
        );
        if !is_loss && !self.shows(mark(event).1) {
            return;
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

    fn shows(&self, style: Style) -> bool {
        !self.is_quiet || self.is_json() || style == Style::Error
    }

    /// Writes a message. Drops it if the queue is full.
    pub(super) fn message(&self, message: &Message) {
        if !self.shows(message.style()) {
            return;
        }
        let (to, text) = self.format(message);
        self.try_write(to, text);
    }

    fn format(&self, message: &Message) -> (OutputStream, String) {
        let text = match (self.format, message) {
            (Format::Pretty, Message::Running(running)) => running.pretty(),
            (Format::Pretty, message) => {
                paint(message.style(), format_args!("  {}", escape_lines(message)))
            }
            (Format::Plain, message) => escape_lines(message),
            (Format::Json, message) => return (OutputStream::Stdout, json(message)),
        };
        (OutputStream::Stderr, text)
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

/// Writes each log line, in one of the two ways.
#[derive(Clone)]
struct LogWriter {
    output: Output,
    write: fn(&Output, String),
}

impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line).trim_end().to_owned();
        (self.write)(&self.output, text);
        Ok(line.len())
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
