//! `tidings journal`: shows and trims the journal of the namespace.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;
use tidings::{DurableName, Journal, JournalHandle, JournalPosition};

use crate::app::App;
use crate::args::JournalAction;
use crate::commands::members::short;
use crate::confirm;
use crate::connect::connect_with;
use crate::exit::{Exit, Problem};
use crate::output;
use crate::terminal::{Cell, Style, age, escape, table};
use crate::time::{milliseconds, milliseconds_of};

const HEADINGS: [&str; 6] = [
    "NAME",
    "POSITION",
    "STORED",
    "MAX AGE",
    "MAX BYTES",
    "READER",
];

pub(crate) async fn journal(app: &App, action: &JournalAction) -> anyhow::Result<Exit> {
    let settings = app.settings()?;
    match action {
        JournalAction::Info | JournalAction::Positions => {}
        JournalAction::Trim { .. } => {
            confirm::removal(app, &settings, "entries of the journal")?;
        }
        JournalAction::Remove { name } => {
            let what = format!("the durable name {} with its position", escape(name));
            confirm::removal(app, &settings, &what)?;
        }
    }
    let bus = connect_with(
        app,
        &settings,
        Journal::default().follow_only().create(false),
    )
    .await?;
    let journal = bus
        .journal()
        .ok_or_else(|| Problem::failed("the bus has no journal"))?;
    match action {
        JournalAction::Info => info(app, &journal).await,
        JournalAction::Positions => positions(app, &journal).await,
        JournalAction::Trim { before, older_than } => {
            trim(
                app,
                &journal,
                before.unwrap_or_else(|| ago(older_than.unwrap_or_default())),
            )
            .await
        }
        JournalAction::Remove { name } => remove(app, &journal, name).await,
    }
}

async fn info(app: &App, journal: &JournalHandle) -> anyhow::Result<Exit> {
    let info = journal.info().await?;
    if app.is_json() {
        output::json(&json!({
            "entries": info.entries,
            "bytes": info.bytes,
            "oldest": info.oldest,
            "newest": info.newest,
        }))?;
        return Ok(Exit::Done);
    }
    let row =
        |name: &str, value: String| vec![(Style::Plain, name.to_owned()), (Style::Plain, value)];
    let rows = [
        row("entries", info.entries.to_string()),
        row("bytes", info.bytes.to_string()),
        row("oldest", described(info.oldest)),
        row("newest", described(info.newest)),
    ];
    output::result(table(&["JOURNAL", ""], &rows))?;
    Ok(Exit::Done)
}

async fn positions(app: &App, journal: &JournalHandle) -> anyhow::Result<Exit> {
    let names = journal.positions().await?;
    if app.is_json() {
        for name in &names {
            output::stream(output::versioned(&json!({
                "name": name.name,
                "position": name.position,
                "age": milliseconds(name.age),
                "max_age": milliseconds(name.max_age),
                "max_bytes": name.max_bytes,
                "holder": name.holder,
            }))?)?;
        }
        return Ok(Exit::Done);
    }
    if names.is_empty() {
        app.remark("no durable names");
        return Ok(Exit::Done);
    }
    let rows: Vec<_> = names.iter().map(row).collect();
    output::result(table(&HEADINGS, &rows))?;
    Ok(Exit::Done)
}

fn row(name: &DurableName) -> Vec<Cell> {
    let plain = |text: String| (Style::Plain, text);
    vec![
        plain(escape(&name.name)),
        plain(
            name.position
                .map_or("-".to_owned(), |position| position.to_string()),
        ),
        plain(format!("{} ago", age(name.age))),
        plain(age(name.max_age)),
        plain(name.max_bytes.to_string()),
        match name.holder {
            Some(holder) => plain(short(holder)),
            None => (Style::Warning, "none".to_owned()),
        },
    ]
}

async fn trim(app: &App, journal: &JournalHandle, before: JournalPosition) -> anyhow::Result<Exit> {
    let is_trimmed = journal.trim(before).await?;
    if app.is_json() {
        output::json(&json!({ "before": before, "is_trimmed": is_trimmed }))?;
    } else if is_trimmed {
        output::result(format_args!("the journal begins at {before} now"))?;
    } else {
        output::result(format_args!("the journal has nothing before {before}"))?;
    }
    Ok(Exit::Done)
}

async fn remove(app: &App, journal: &JournalHandle, name: &str) -> anyhow::Result<Exit> {
    let shown = escape(name);
    if !journal.remove_position(name).await? {
        let text = format!("there is no durable name `{shown}`");
        return Err(Problem::new(Exit::Nobody, text).into());
    }
    if app.is_json() {
        output::json(&json!({ "removed": name }))?;
    } else {
        output::result(format_args!("the durable name {shown} is removed"))?;
    }
    Ok(Exit::Done)
}

/// Returns the position and its age.
fn described(position: JournalPosition) -> String {
    if position == JournalPosition::START {
        return "-".to_owned();
    }
    let text = position.to_string();
    let written = text.split('-').next().and_then(|it| it.parse().ok());
    let written = UNIX_EPOCH.checked_add(Duration::from_millis(written.unwrap_or_default()));
    let since = written.and_then(|written| SystemTime::now().duration_since(written).ok());
    format!("{text}  {} ago", age(since.unwrap_or_default()))
}

/// Returns the first position of this time ago, by the clock of this machine.
fn ago(time: Duration) -> JournalPosition {
    let now = milliseconds_of(SystemTime::now());
    let first = format!("{}-0", now.saturating_sub(milliseconds(time)));
    first.parse().unwrap_or(JournalPosition::START)
}
