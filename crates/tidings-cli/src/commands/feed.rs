//! `tidings send -`: sends the events of standard input over one connection.

mod replay;

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read as _};
use std::pin::{Pin, pin};
use std::thread;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tidings::{Bus, FlushError, SendError, Unconfirmed};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use self::replay::Replay;
use crate::app::App;
use crate::args::{Send, To};
use crate::commands::schema::PayloadCheck;
use crate::confirm;
use crate::connect::connect_to_send;
use crate::exit::{Exit, Problem};
use crate::interrupt::interrupted;
use crate::output;
use crate::terminal::{Style, count, escape, print_labeled};

/// The maximum size of a line: more than a frame holds.
const MAX_LINE: u64 = 4 << 20;

/// The number of lines that are read ahead.
const AHEAD: usize = 256;

/// The number of errors that are shown.
const SHOWN: u64 = 10;

/// The interval at which the results of what was sent are looked at: the input may be slow, or never end.
const CHECK_INTERVAL: Duration = Duration::from_millis(250);

/// The lines of `tidings listen --json` that are no events.
const NOTES: [&str; 4] = ["gap", "unreadable", "rates", "end"];

/// The event of a line, or the reason why it has none.
type Line = Result<Event, String>;

#[derive(Deserialize)]
struct Event {
    event: String,
    #[serde(default)]
    data: Value,
    /// The time at which it was recorded.
    #[serde(default)]
    at: Option<u64>,
}

/// The treatment of the lines, before they are sent.
struct Input<'a> {
    app: &'a App,
    replay: Option<Replay>,
    payloads: PayloadCheck,
}

/// The results of the lines.
#[derive(Default)]
struct Fed {
    lines: u64,
    sent: u64,
    invalid: u64,
    not_sent: u64,
    unknown: u64,
    is_cut_off: bool,
}

pub(crate) async fn feed(app: &App, args: &Send) -> anyhow::Result<Exit> {
    reject_options_of_one(args)?;
    let payloads = if args.force {
        PayloadCheck::default()
    } else {
        PayloadCheck::of_project(app)?
    };
    let settings = app.settings()?;
    confirm::write(app, &settings)?;
    let bus = connect_to_send(app, &settings, args.journal).await?;
    let mut fed = Fed::default();
    let ended = pin!(interrupted());
    let input = Input {
        app,
        replay: args.replay.then(|| Replay::new(args.speed)),
        payloads,
    };
    fed.feed_all(&bus, input, ended).await;
    if let Err(error) = bus.flush().await {
        fed.lose(&error);
    }
    fed.print(app)?;
    Ok(fed.exit())
}

/// Rejects what is meant for one event, and would have no effect on many.
fn reject_options_of_one(args: &Send) -> Result<(), Problem> {
    let payload = &args.payload;
    let has_payload = !payload.words.is_empty() || payload.text.is_some() || payload.file.is_some();
    if has_payload || args.ack || args.to != To::All || !args.header.is_empty() {
        return Err(Problem::usage(
            "`tidings send -` sends what it reads to all, and takes no payload, --to, --ack or \
             --header",
        ));
    }
    Ok(())
}

impl Input<'_> {
    fn check(&mut self, event: &Event) -> Result<(), String> {
        let check = self.payloads.check(self.app, &event.event, &event.data);
        check.map_err(|why| why + " (--force sends it all the same)")
    }
}

impl Fed {
    /// Sends the events of standard input, until one is given up or a signal arrives.
    async fn feed_all(
        &mut self,
        bus: &Bus,
        mut input: Input<'_>,
        mut ended: Pin<&mut impl Future<Output = ()>>,
    ) {
        let mut lines = lines();
        let mut lost = pin!(lost(bus));
        while !self.is_cut_off {
            let next = async {
                let (number, line) = lines.recv().await?;
                let at = line.as_ref().ok().and_then(|event| event.at);
                if let Some(replay) = &mut input.replay {
                    sleep_until(replay.due(at, Instant::now())).await;
                }
                Some((number, line))
            };
            let next = tokio::select! {
                biased;
                () = &mut ended => {
                    self.is_cut_off = true;
                    return;
                }
                error = &mut lost => {
                    self.lose(&error);
                    self.is_cut_off = true;
                    return;
                }
                next = next => next,
            };
            let Some((number, line)) = next else {
                return;
            };
            self.lines = number;
            match line {
                Ok(event) => match input.check(&event) {
                    Ok(()) => self.feed(bus, &event).await,
                    Err(why) => self.reject(&why),
                },
                Err(why) => self.reject(&why),
            }
        }
    }

    async fn feed(&mut self, bus: &Bus, event: &Event) {
        match bus.feed(&*event.event, &event.data).await {
            Ok(()) => self.sent += 1,
            Err(error) if is_about_the_event(&error) => self.reject(&tidings::report(&error)),
            Err(error) => {
                self.not_sent += 1;
                self.is_cut_off = true;
                self.show(&tidings::report(&error));
            }
        }
    }

    fn reject(&mut self, why: &dyn std::fmt::Display) {
        self.invalid += 1;
        self.show(why);
    }

    /// Shows the error of the last line that was read.
    fn show(&self, why: &dyn std::fmt::Display) {
        if self.invalid + self.not_sent <= SHOWN {
            let text = format!("line {}: {}", self.lines, escape(why));
            print_labeled(Style::Error, "error", &text);
        }
    }

    /// Counts the events that Redis has not accepted.
    fn lose(&mut self, error: &FlushError) {
        for lost in error.undelivered() {
            if self.not_sent + self.unknown < SHOWN {
                let (event, why) = (escape(&lost.event), escape(&lost.why));
                print_labeled(Style::Error, "error", &format!("an event `{event}` {why}"));
            }
            match lost.why {
                Unconfirmed::NotSent(_) => self.not_sent += 1,
                _ => self.unknown += 1,
            }
        }
        // The result of events that are not listed is unknown.
        self.unknown += error.count() - error.undelivered().len() as u64;
        self.sent = self.sent.saturating_sub(error.count());
    }

    fn exit(&self) -> Exit {
        match self {
            Self { unknown: 1.., .. } => Exit::Unknown,
            Self {
                invalid: 0,
                not_sent: 0,
                is_cut_off: false,
                ..
            } => Exit::Done,
            Self { sent: 0, .. } => Exit::Failed,
            _ => Exit::Incomplete,
        }
    }

    fn print(&self, app: &App) -> anyhow::Result<()> {
        if app.is_json() {
            return output::json(&json!({
                "lines": self.lines,
                "sent": self.sent,
                "invalid": self.invalid,
                "not_sent": self.not_sent,
                "unknown": self.unknown,
                "is_cut_off": self.is_cut_off,
            }));
        }
        let mut text = format!("sent {}", count(self.sent, "event"));
        for (number, what) in [
            (self.invalid, "not valid"),
            (self.not_sent, "not sent"),
            (self.unknown, "unknown"),
        ] {
            if number > 0 {
                let _ = write!(text, ", {number} {what}");
            }
        }
        if self.is_cut_off {
            let _ = write!(text, ", and stopped at line {}", self.lines);
        }
        output::result(text)
    }
}

/// Waits until an event that was sent is given up.
async fn lost(bus: &Bus) -> FlushError {
    loop {
        sleep(CHECK_INTERVAL).await;
        if let Err(error) = bus.flush().await {
            return error;
        }
    }
}

/// Returns whether only this event cannot be sent.
fn is_about_the_event(error: &SendError) -> bool {
    matches!(
        error,
        SendError::Name { .. }
            | SendError::Reserved { .. }
            | SendError::Encode { .. }
            | SendError::TooLarge { .. }
    )
}

/// Reads standard input in a thread of its own, and ends with it.
fn lines() -> mpsc::Receiver<(u64, Line)> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    thread::spawn(move || {
        for line in Lines::of(BufReader::new(io::stdin().lock())) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// The lines of an input that are not empty and no notes, with their numbers.
struct Lines<R> {
    input: R,
    number: u64,
    has_ended: bool,
}

impl<R: BufRead> Lines<R> {
    fn of(input: R) -> Self {
        Self {
            input,
            number: 0,
            has_ended: false,
        }
    }

    /// Reads up to the next line that has an event; `None` at the end.
    fn read(&mut self) -> io::Result<Option<Line>> {
        let mut line = Vec::new();
        loop {
            line.clear();
            let mut limited = self.input.by_ref().take(MAX_LINE);
            if limited.read_until(b'\n', &mut line)? == 0 {
                return Ok(None);
            }
            self.number += 1;
            if line.len() as u64 == MAX_LINE && line.last() != Some(&b'\n') {
                skip(&mut self.input)?;
                return Ok(Some(Err(format!("it has more than {MAX_LINE} bytes"))));
            }
            if !line.trim_ascii().is_empty() && !is_note(&line) {
                return Ok(Some(parse(&line)));
            }
        }
    }
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = (u64, Line);

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_ended {
            return None;
        }
        let line = self.read().unwrap_or_else(|error| {
            self.has_ended = true;
            Some(Err(format!("cannot read the standard input: {error}")))
        });
        line.map(|line| (self.number, line))
    }
}

/// Reads to the end of the line.
fn skip(reader: &mut impl BufRead) -> io::Result<()> {
    loop {
        let mut rest = Vec::new();
        let read = reader
            .by_ref()
            .take(MAX_LINE)
            .read_until(b'\n', &mut rest)?;
        if read == 0 || rest.last() == Some(&b'\n') {
            return Ok(());
        }
    }
}

/// Returns whether the line is one of `tidings listen --json` that is no event.
fn is_note(line: &[u8]) -> bool {
    // Most lines are events, and are parsed once.
    if line.windows(7).any(|part| part == b"\"event\"") {
        return false;
    }
    let object = serde_json::from_slice::<Value>(line);
    object.is_ok_and(|object| NOTES.iter().any(|note| object.get(note).is_some()))
}

fn parse(line: &[u8]) -> Line {
    serde_json::from_slice(line)
        .map_err(|error| format!("expected an object with `event` and `data`: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_an_event_and_a_bad_one_does_not_hide_the_next() {
        let long = "x".repeat(usize::try_from(MAX_LINE).unwrap() + 10);
        let text = format!(
            "{{\"event\":\"a\"}}\n\n{{\"v\":1,\"gap\":{{}}}}\n7\n{long}\n{{\"event\":\"b\",\"data\":[1],\"v\":1}}"
        );
        let mut lines = Lines::of(text.as_bytes());
        let (number, first) = lines.next().unwrap();
        assert_eq!((number, &*first.unwrap().event), (1, "a"));
        let (number, invalid) = lines.next().unwrap();
        assert!(number == 4 && invalid.is_err());
        let (number, long) = lines.next().unwrap();
        assert!(number == 5 && long.err().unwrap().contains("more than"));
        let (number, last) = lines.next().unwrap();
        let last = last.unwrap();
        assert_eq!((number, &*last.event, last.data), (6, "b", json!([1])));
        assert!(lines.next().is_none());
    }

    #[test]
    fn an_input_that_cannot_be_read_ends_the_lines() {
        let folder = std::fs::File::open(std::env::temp_dir()).unwrap();
        let mut lines = Lines::of(BufReader::new(folder));
        let (_, line) = lines.next().unwrap();
        assert!(
            line.err()
                .unwrap()
                .starts_with("cannot read the standard input")
        );
        assert!(lines.next().is_none());
    }

    #[test]
    fn the_exit_code_says_what_was_sent() {
        let fed = |sent, invalid, not_sent, unknown| {
            Fed {
                sent,
                invalid,
                not_sent,
                unknown,
                ..Fed::default()
            }
            .exit()
        };
        assert_eq!(fed(2, 0, 0, 0), Exit::Done);
        assert_eq!(fed(0, 0, 0, 0), Exit::Done);
        assert_eq!(fed(2, 1, 0, 0), Exit::Incomplete);
        assert_eq!(fed(0, 1, 0, 0), Exit::Failed);
        assert_eq!(fed(2, 0, 5, 0), Exit::Incomplete);
        assert_eq!(fed(2, 0, 5, 1), Exit::Unknown);
    }
}
