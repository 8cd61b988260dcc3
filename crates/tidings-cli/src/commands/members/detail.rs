//! One member in detail: its connection, its handlers, and what went wrong last.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use tidings::{HandlerInspection, HealthInspection, Inspection};

use super::receives;
use crate::inspect::Inspected;
use crate::terminal::{Cell, Style, age, count, escape, paint, table};

const HANDLERS: [&str; 7] = [
    "HANDLER",
    "QUEUE",
    "IN PROGRESS",
    "HANDLED",
    "FAILED",
    "TIMED OUT",
    "SLOWEST",
];

pub(super) fn detail(inspected: &Inspected) -> String {
    let mut parts = vec![table(
        &["MEMBER", &escape(&inspected.member.name)],
        &about(inspected),
    )];
    if let Some(inspection) = inspected.inspection() {
        if !inspection.handlers.is_empty() {
            parts.push(handlers(inspection));
        }
        let gaps = inspection.gaps.iter().map(|gap| (gap.at, &*gap.text));
        let failures = inspection.failures.iter();
        let failures = failures.map(|failure| (failure.at, &*failure.text));
        parts.extend(last("LAST GAPS", inspection.taken, gaps));
        parts.extend(last("LAST FAILURES", inspection.taken, failures));
    }
    parts.join("\n\n")
}

/// The rows about the member itself.
fn about(inspected: &Inspected) -> Vec<Vec<Cell>> {
    let member = &inspected.member;
    let since = SystemTime::now().duration_since(member.started);
    let mut rows = Vec::new();
    let mut row = |name: &str, style, value: String| {
        rows.push(vec![(Style::Dim, name.to_owned()), (style, value)]);
    };
    row("node", Style::Plain, member.id.to_string());
    for (name, value) in [("role", &member.role), ("version", &member.version)] {
        if let Some(value) = value {
            row(name, Style::Plain, escape(value));
        }
    }
    row("host", Style::Plain, escape(&member.host));
    row("pid", Style::Plain, member.pid.to_string());
    row("since", Style::Plain, age(since.unwrap_or_default()));
    let (style, text) = receives(inspected);
    match (inspected.inspection(), inspected.why_not()) {
        (Some(inspection), _) => {
            let health = &inspection.health;
            row("receives", style, text + &connected(health));
            row("sent", Style::Plain, health.sent.to_string());
            row("received", Style::Plain, received(health));
            row("gaps", attention(health.gaps), gaps(health));
            row(
                "failures",
                attention(health.failures),
                health.failures.to_string(),
            );
            if let Some(behind) = health.journal_behind {
                row("journal", Style::Plain, format!("{} behind", shown(behind)));
            }
            row("tidings", Style::Plain, escape(&inspection.version));
            if let Some(contract) = &inspection.contract {
                row("contract", Style::Plain, escape(contract));
            }
        }
        (None, why) => row(
            "receives",
            style,
            format!("{text}  {}", why.unwrap_or_default()),
        ),
    }
    rows
}

fn connected(health: &HealthInspection) -> String {
    let Some(since) = health.since else {
        return String::new();
    };
    let state = if health.is_ready {
        "connected"
    } else {
        "not ready"
    };
    let again = match health.reconnects {
        0 => String::new(),
        reconnects => format!(", {}", count(reconnects, "reconnect")),
    };
    format!(", {state} for {}{again}", age(since))
}

fn received(health: &HealthInspection) -> String {
    match health.last_received {
        Some(ago) => format!("{}, the last {} ago", health.received, age(ago)),
        None => health.received.to_string(),
    }
}

fn gaps(health: &HealthInspection) -> String {
    match (health.gaps, health.missed, health.dropped) {
        (0, ..) => "0".to_owned(),
        (gaps, missed, dropped) => {
            format!("{gaps} ({missed} missed, {dropped} dropped by a full queue)")
        }
    }
}

fn attention(number: u64) -> Style {
    if number == 0 {
        Style::Plain
    } else {
        Style::Warning
    }
}

fn handlers(inspection: &Inspection) -> String {
    let rows: Vec<_> = inspection.handlers.iter().map(handler).collect();
    let mut text = table(&HANDLERS, &rows);
    let unlisted = inspection.unlisted_handlers;
    if unlisted > 0 {
        let _ = write!(text, "\nand {}", count(unlisted, "more handler"));
    }
    text
}

fn handler(handler: &HandlerInspection) -> Vec<Cell> {
    let plain = |text: String| (Style::Plain, text);
    let is_full = handler.queue >= handler.queue_limit && handler.queue > 0;
    vec![
        plain(escape(&handler.handler)),
        (
            if is_full { Style::Error } else { Style::Plain },
            format!("{}/{}", handler.queue, handler.queue_limit),
        ),
        plain(handler.in_progress.to_string()),
        plain(handler.handled.to_string()),
        (attention(handler.failed), handler.failed.to_string()),
        (attention(handler.timed_out), handler.timed_out.to_string()),
        plain(handler.slowest.map_or("-".to_owned(), shown)),
    ]
}

/// Lists gaps or failures, the newest last; `None` if there are none.
fn last<'a>(
    heading: &str,
    taken: SystemTime,
    texts: impl Iterator<Item = (SystemTime, &'a str)>,
) -> Option<String> {
    let lines = texts.map(|(at, text)| {
        // Both times are of the clock of the member.
        let ago = age(taken.duration_since(at).unwrap_or_default());
        format!(
            "{}  {}",
            paint(Style::Dim, format_args!("{ago} ago")),
            escape(text)
        )
    });
    let lines: Vec<_> = lines.collect();
    let heading = paint(Style::Heading, heading);
    (!lines.is_empty()).then(|| format!("{heading}\n{}", lines.join("\n")))
}

/// Formats a short duration: "7ms", "1.3s".
fn shown(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{}ms", time.as_millis())
    } else {
        format!("{time:.1?}")
    }
}
