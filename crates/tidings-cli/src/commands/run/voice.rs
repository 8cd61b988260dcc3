//! Shows what workers write, and what happens to them.

use std::fmt;
use std::io::{self, IsTerminal as _, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use anstream::{AutoStream, ColorChoice};
use serde::Serialize;
use tidings_supervisor::{
    ListenAddress, OutputLine, OutputStream, Status, Stopped, SupervisorEvent,
};

use tracing_subscriber::filter::LevelFilter;

use super::scribe::Scribe;
use crate::args::Format;
use crate::terminal::{Style, harmless, harmless_json, harmless_lines, paint, paint_slot, workers};

/// How long what was said last may take to be written.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Cheap to clone: it knows how to speak, and the one who writes.
#[derive(Clone, Debug)]
pub(super) struct Voice {
    format: Format,
    scribe: Scribe,
    has_colours: bool,
    /// Of the number of a slot.
    width: Arc<AtomicUsize>,
    /// What to do was said.
    is_cured: Arc<AtomicBool>,
}

/// What `tidings run` itself has to say.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Note {
    NameTaken {
        wanted: String,
        name: String,
    },
    Running(Running),
    /// A watched path did.
    Changed {
        path: PathBuf,
    },
    /// With Ctrl-C.
    Interrupted,
    NotReady,
    Warning {
        text: String,
    },
    /// What ends it, and what can be done about it.
    Error {
        text: String,
        help: Option<String>,
    },
    Stopped(Stopped),
    /// Nobody took the notes for a while, and so many are missing here.
    MessagesDropped {
        messages: u64,
    },
}

#[derive(Debug, Serialize)]
pub(super) struct Running {
    name: String,
    pid: u32,
    workers: usize,
    listen: Vec<String>,
}

impl Running {
    fn pretty(&self) -> String {
        let name = paint(Style::Heading, &self.name);
        let about = format!("{}, pid {}", workers(self.workers), self.pid);
        let mut lines = vec![format!("{name}  {about}")];
        let addresses = self.listen.iter();
        lines.extend(addresses.map(|it| format!("  listening on {}", paint(Style::Heading, it))));
        let reload = format!("tidings reload {}", self.name);
        let width = reload.len();
        for (how, what) in [
            (&*reload, "new workers, and nobody is refused"),
            ("Ctrl-C", "ends, and workers finish what they have"),
        ] {
            let what = paint(Style::Calm, what);
            lines.push(format!("  {how:width$}  {what}"));
        }
        lines.join("\n")
    }
}

impl fmt::Display for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, pid, .. } = self;
        write!(f, "{name}: {} (pid {pid})", workers(self.workers))?;
        if !self.listen.is_empty() {
            write!(f, ", listening on {}", self.listen.join(", "))?;
        }
        write!(f, "; reload with `tidings reload {name}`")
    }
}

impl Note {
    pub(super) fn error(error: &anyhow::Error) -> Self {
        let (text, help) = (format!("{error:#}"), crate::cure(error));
        Self::Error { text, help }
    }

    pub(super) fn running(status: &Status, addresses: &[ListenAddress]) -> Self {
        Self::Running(Running {
            name: status.name.clone(),
            pid: status.pid,
            workers: status.slots,
            listen: addresses.iter().map(ToString::to_string).collect(),
        })
    }

    fn style(&self) -> Style {
        match self {
            Self::NameTaken { .. } | Self::Warning { .. } | Self::MessagesDropped { .. } => {
                Style::Trouble
            }
            Self::Running(_) => Style::Plain,
            Self::Changed { .. } | Self::Interrupted | Self::NotReady => Style::Calm,
            Self::Stopped(stopped) if stopped.is_clean() => Style::Good,
            Self::Stopped(_) | Self::Error { .. } => Style::Alarm,
        }
    }
}

impl From<Stopped> for Note {
    fn from(stopped: Stopped) -> Self {
        Self::Stopped(stopped)
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NameTaken { wanted, name } => {
                write!(f, "the name {wanted} is taken: this one is {name}")
            }
            Self::Interrupted => {
                f.write_str("workers finish what they have; Ctrl-C once more kills them")
            }
            Self::NotReady => f.write_str(
                "help: a program that cannot say that it is ready runs with `--ready-after 2s`",
            ),
            Self::Warning { text } | Self::Error { text, .. } => f.write_str(text),
            Self::MessagesDropped { messages } => {
                write!(f, "dropped {messages} messages: they were not read in time")
            }
            Self::Running(running) => running.fmt(f),
            Self::Changed { path } => write!(f, "{} changed", harmless(path.display())),
            Self::Stopped(Stopped {
                all_failed: true, ..
            }) => f.write_str("stopped: all slots failed"),
            Self::Stopped(Stopped { killed: 0, .. }) => {
                f.write_str("stopped: all workers stopped in time")
            }
            Self::Stopped(Stopped { killed, .. }) => {
                write!(f, "stopped: {} had to be killed", workers(*killed))
            }
        }
    }
}

/// What is said as JSON, and when: in RFC 3339, to the millisecond.
#[derive(Serialize)]
struct Stamped<'a, T> {
    timestamp: String,
    #[serde(flatten)]
    what: &'a T,
}

/// A line as JSON, with `event` as all the others have it.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Said<'a> {
    Line(&'a OutputLine),
}

impl Voice {
    pub(super) fn of(format: Option<Format>, workers: usize) -> io::Result<Self> {
        let by_itself = if io::stdout().is_terminal() {
            Format::Pretty
        } else {
            Format::Plain
        };
        let (stdout, stderr) = (io::stdout(), io::stderr());
        let (stdout, stderr) = (AutoStream::choice(&stdout), AutoStream::choice(&stderr));
        Ok(Self {
            format: format.unwrap_or(by_itself),
            scribe: Scribe::start(stdout, stderr)?,
            has_colours: stderr != ColorChoice::Never,
            width: Arc::new(width(workers).into()),
            is_cured: Arc::default(),
        })
    }

    /// What the supervisor has to say that is no report, as that somebody else wanted to steer it.
    pub(super) fn hear_warnings(&self) {
        let voice = self.clone();
        let warnings = tracing_subscriber::fmt()
            .with_writer(move || Warnings(voice.clone()))
            .with_max_level(LevelFilter::WARN);
        if self.is_json() {
            let bare = warnings.with_ansi(false).without_time();
            bare.with_level(false).with_target(false).init();
        } else {
            warnings.with_ansi(self.has_colours).init();
        }
    }

    /// Waits where too much is to be written.
    pub(super) fn line(&self, line: &OutputLine) {
        let OutputLine {
            slot, stream, text, ..
        } = line;
        let width = self.width();
        let shown = match self.format {
            // What its colours began ends with it.
            Format::Pretty => format!(
                "{} {text}\x1b[0m",
                paint_slot(*slot, format_args!("{slot:>width$} │"))
            ),
            Format::Plain => format!("{slot} | {text}"),
            Format::Json => {
                return self
                    .scribe
                    .write(OutputStream::Stdout, json(&Said::Line(line)));
            }
        };
        self.scribe.write(*stream, shown);
    }

    /// Waits where too much is to be written.
    pub(super) fn report(&self, report: &SupervisorEvent) {
        // The note on how it stopped says the same.
        if matches!(report, SupervisorEvent::Stopped { .. }) {
            return;
        }
        if let SupervisorEvent::Scaled { to, .. } = report {
            self.width.store(width(*to), Ordering::Relaxed);
        }
        match self.format {
            Format::Pretty => self.scribe.write(OutputStream::Stderr, self.pretty(report)),
            Format::Plain => {
                let text = harmless_lines(report);
                self.scribe.write(OutputStream::Stderr, text);
            }
            Format::Json => self.scribe.write(OutputStream::Stdout, json(report)),
        }
    }

    /// Once: what to do about a worker that is never ready.
    pub(super) fn cure(&self) {
        if !self.is_json() && !self.is_cured.swap(true, Ordering::Relaxed) {
            self.note(&Note::NotReady);
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

    fn pretty(&self, report: &SupervisorEvent) -> String {
        let (mark, style) = look(report);
        let width = self.width();
        let slot = match report.slot() {
            Some(slot) => paint_slot(slot, format_args!("{slot:>width$}")),
            None => " ".repeat(width),
        };
        let mark = paint(style, mark);
        let text = harmless_lines(report);
        let text = match style {
            Style::Good => text,
            style => paint(style, text),
        };
        format!("{slot} {mark} {text}")
    }

    pub(super) fn note(&self, note: &Note) {
        let to = match self.format {
            Format::Json => OutputStream::Stdout,
            Format::Pretty | Format::Plain => OutputStream::Stderr,
        };
        self.put(to, self.shown(note));
    }

    fn shown(&self, note: &Note) -> String {
        match (self.format, note) {
            (Format::Pretty, Note::Running(running)) => running.pretty(),
            (Format::Pretty, note) => {
                paint(note.style(), format_args!("  {}", harmless_lines(note)))
            }
            (Format::Plain, note) => harmless_lines(note),
            (Format::Json, note) => json(note),
        }
    }

    fn put(&self, to: OutputStream, text: String) {
        let missed = |messages| self.shown(&Note::MessagesDropped { messages });
        self.scribe.put(to, text, missed);
    }

    /// Before the end of the process, which does not wait for whoever writes.
    pub(super) fn finish(&self) {
        self.scribe.finish(LAST_WORDS);
    }
}

/// Of the highest number of so many slots.
fn width(workers: usize) -> usize {
    workers.saturating_sub(1).to_string().len()
}

fn json(what: &impl Serialize) -> String {
    let timestamp = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
    harmless_json(&Stamped { timestamp, what }, false)
        .expect("no map in it has keys that are no texts")
}

/// Each of them is written at once.
struct Warnings(Voice);

impl Write for Warnings {
    fn write(&mut self, warning: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(warning).trim_end().to_owned();
        if self.0.is_json() {
            self.0.note(&Note::Warning { text });
        } else {
            self.0.put(OutputStream::Stderr, text);
        }
        Ok(warning.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn look(report: &SupervisorEvent) -> (&'static str, Style) {
    match report {
        SupervisorEvent::SlotFailed { .. }
        | SupervisorEvent::AllSlotsFailed
        | SupervisorEvent::ReloadFailed { .. } => ("✗", Style::Alarm),
        report if report.is_warning() => ("!", Style::Trouble),
        SupervisorEvent::Ready { .. }
        | SupervisorEvent::AllReady
        | SupervisorEvent::Reloaded { .. } => ("✓", Style::Good),
        _ => ("·", Style::Calm),
    }
}
