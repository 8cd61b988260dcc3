//! The lines of `tidings listen`.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};
use tidings::codec::{DecodeError, To};
use tidings::{Gap, Member, NodeId, TappedEvent, Unreadable, report};

use super::tally::Tally;
use crate::commands::members::short;
use crate::output::versioned;
use crate::terminal::{Style, count, cut, escape, escaped_json, paint, paint_slot};
use crate::time::{milliseconds, milliseconds_of, time_of_day};

/// The maximum width of a payload in text. With `--json` it is whole.
const WIDTH: usize = 2_000;

/// The number of names in a block of rates.
const NAMES: usize = 20;

pub(super) struct Printer {
    pub(super) is_json: bool,
    /// The names at the start. The tap knows those of members that join later.
    names: HashMap<NodeId, String>,
}

impl Printer {
    pub(super) fn new(is_json: bool, members: Vec<Member>) -> Self {
        let names = members.into_iter().map(|member| (member.id, member.name));
        Self {
            is_json,
            names: names.collect(),
        }
    }

    /// Returns the name of the sender, if it is or was a member.
    fn name<'a>(&'a self, event: &'a TappedEvent) -> Option<&'a str> {
        let known = || self.names.get(&(*event.sender())?).map(String::as_str);
        event.sender_name().or_else(known)
    }

    pub(super) fn event(&self, event: &TappedEvent) -> anyhow::Result<String> {
        let data = event.decode::<Value>();
        if self.is_json {
            return Ok(versioned(&json_of(event, self.name(event), data))?);
        }
        let at = event.sent_at().unwrap_or_else(|| event.received_at());
        let (time, sender) = (
            paint(Style::Dim, time_of_day(at)),
            sender(event, self.name(event)),
        );
        let data = match data {
            Ok(data) => cut(&escaped_json(&data, false)?, WIDTH).into_owned(),
            Err(error) => {
                let bytes = event.payload().bytes().len();
                paint(
                    Style::Error,
                    escape(format_args!("{bytes} bytes: {}", report(&error))),
                )
            }
        };
        let to = match event.to() {
            To::All => String::new(),
            To::Others => paint(Style::Dim, "  to others"),
            To::Node(node) => paint(Style::Dim, format_args!("  to {}", short(node))),
        };
        let name = paint(Style::Heading, escape(event.name()));
        Ok(format!("{time}  {sender}  {name}  {data}{to}"))
    }

    pub(super) fn gap(&self, gap: &Gap) -> anyhow::Result<String> {
        if self.is_json {
            let at = milliseconds_of(SystemTime::now());
            return Ok(versioned(&json!({ "gap": gap, "at": at }))?);
        }
        let time = paint(Style::Dim, time_of_day(SystemTime::now()));
        Ok(format!(
            "{time}  {}",
            paint(Style::Warning, escape(format_args!("— {gap}")))
        ))
    }

    pub(super) fn unreadable(&self, frame: &Unreadable) -> anyhow::Result<String> {
        let (why, bytes) = (report(frame.failure()).to_string(), frame.bytes().len());
        if self.is_json {
            let at = milliseconds_of(frame.received_at());
            let frame = json!({ "sender": *frame.sender(), "bytes": bytes, "error": why });
            return Ok(versioned(&json!({ "unreadable": frame, "at": at }))?);
        }
        let time = paint(Style::Dim, time_of_day(frame.received_at()));
        let text = escape(format_args!("— {bytes} bytes that cannot be read: {why}"));
        Ok(format!("{time}  {}", paint(Style::Error, text)))
    }

    /// The block of one second.
    pub(super) fn rates(&self, rates: &[(String, u64)]) -> anyhow::Result<String> {
        if self.is_json {
            let names = rates
                .iter()
                .map(|(name, rate)| (name.clone(), (*rate).into()));
            let names: Map<String, Value> = names.collect();
            let at = milliseconds_of(SystemTime::now());
            return Ok(versioned(&json!({ "rates": names, "at": at }))?);
        }
        let total: u64 = rates.iter().map(|(_, rate)| rate).sum();
        let time = paint(Style::Dim, time_of_day(SystemTime::now()));
        let mut lines = vec![format!("{time}  {total}/s")];
        let shown = rates.iter().take(NAMES);
        lines.extend(shown.map(|(name, rate)| format!("{rate:>14}/s  {}", escape(name))));
        if rates.len() > NAMES {
            lines.push(format!("{:>16}  {} more names", "", rates.len() - NAMES));
        }
        Ok(lines.join("\n"))
    }

    /// The last line.
    pub(super) fn end(&self, tally: &Tally) -> anyhow::Result<String> {
        let took = tally.since.elapsed();
        if self.is_json {
            return Ok(versioned(&json!({ "end": {
                "events": tally.events,
                "nodes": tally.nodes.len(),
                "missed": tally.missed,
                "is_missed_unknown": tally.is_unknown,
                "unreadable": tally.unreadable,
                "not_printed": tally.not_printed,
                "took": milliseconds(took),
            }}))?);
        }
        Ok(summary(tally, took))
    }
}

fn summary(tally: &Tally, took: Duration) -> String {
    let events = count(tally.events, "event");
    let nodes = count(tally.nodes.len(), "node");
    let mut parts = vec![match (tally.missed, tally.is_unknown) {
        (0, false) => "none missed".to_owned(),
        (0, true) => "an unknown number missed".to_owned(),
        (missed, false) => format!("{missed} missed"),
        (missed, true) => format!("{missed} missed, and an unknown number more"),
    }];
    if tally.unreadable > 0 {
        parts.push(format!("{} unreadable", tally.unreadable));
    }
    if tally.not_printed > 0 {
        parts.push(format!("{} not printed", tally.not_printed));
    }
    format!("{events} of {nodes} in {took:.1?}; {}", parts.join("; "))
}

fn json_of(event: &TappedEvent, name: Option<&str>, data: Result<Value, DecodeError>) -> Value {
    let to = match event.to() {
        To::All => "all".to_owned(),
        To::Others => "others".to_owned(),
        To::Node(node) => node.to_string(),
    };
    let mut object = json!({
        "event": event.name(),
        "at": milliseconds_of(event.sent_at().unwrap_or_else(|| event.received_at())),
        "sender": *event.sender(),
        "sender_name": name,
        "sequence": event.sequence(),
        "to": to,
        "format": event.format().to_string(),
        "bytes": event.payload().bytes().len(),
        "is_request": event.is_request(),
        "position": event.position(),
        "headers": event.headers(),
    });
    match data {
        Ok(data) => object["data"] = data,
        Err(error) => object["error"] = report(&error).to_string().into(),
    }
    object
}

/// Returns the sender's name, or 8 digits of its id, in the color of the node.
fn sender(event: &TappedEvent, name: Option<&str>) -> String {
    let Some(node) = *event.sender() else {
        return paint(Style::Dim, "unknown");
    };
    let name = name.map_or_else(|| short(node), escape);
    let color = node.as_bytes().iter().map(|byte| usize::from(*byte)).sum();
    paint_slot(color, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_says_what_was_missed() {
        let summary = |tally: &Tally| summary(tally, Duration::from_secs(16));
        let mut tally = Tally {
            events: 1,
            ..Tally::default()
        };
        assert_eq!(summary(&tally), "1 event of 0 nodes in 16.0s; none missed");
        tally.missed = 3;
        assert!(summary(&tally).ends_with("; 3 missed"));
        (tally.is_unknown, tally.not_printed) = (true, 7);
        assert!(summary(&tally).ends_with("; 3 missed, and an unknown number more; 7 not printed"));
    }
}
