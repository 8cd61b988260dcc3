//! `tidings ps`

use std::process::ExitCode;

use tidings_supervisor::{Exit, Remote, State, Status, WorkerStatus};

use crate::args::Ps;
use crate::terminal::{Cell, Style, age, say, table};

const HEADINGS: [&str; 7] = [
    "NAME",
    "SLOT",
    "PID",
    "STATE",
    "AGE",
    "RESTARTS",
    "LAST EXIT",
];

pub(crate) async fn ps(args: &Ps) -> anyhow::Result<ExitCode> {
    let fleets = match &args.name {
        Some(name) => vec![Remote::find(Some(name)).await?.status().await?],
        None => all().await,
    };
    if args.json {
        say(serde_json::to_string_pretty(&fleets)?);
    } else if fleets.is_empty() {
        say("no supervisor runs");
    } else {
        let rows = fleets.iter().flat_map(rows).collect::<Vec<_>>();
        say(table(&HEADINGS, &rows));
    }
    Ok(ExitCode::SUCCESS)
}

/// Who ends while it is asked runs no more.
async fn all() -> Vec<Status> {
    let mut fleets = Vec::new();
    for remote in Remote::all().await {
        fleets.extend(remote.status().await);
    }
    fleets
}

fn rows(fleet: &Status) -> impl Iterator<Item = Vec<Cell>> {
    fleet.workers.iter().map(|worker| row(&fleet.name, worker))
}

fn row(name: &str, worker: &WorkerStatus) -> Vec<Cell> {
    let plain = |text: String| (Style::Plain, text);
    let is_there = worker.pid.is_some();
    vec![
        plain(name.to_owned()),
        plain(worker.slot.to_string()),
        plain(worker.pid.map_or("-".to_owned(), |pid| pid.to_string())),
        (style(worker.state), worker.state.to_string()),
        plain(if is_there {
            age(worker.age)
        } else {
            "-".to_owned()
        }),
        plain(worker.restarts.to_string()),
        last_exit(worker.last_exit.as_ref()),
    ]
}

fn style(state: State) -> Style {
    match state {
        State::Ready => Style::Good,
        State::Draining => Style::Calm,
        State::GivenUp => Style::Alarm,
        _ => Style::Trouble,
    }
}

fn last_exit(exit: Option<&Exit>) -> Cell {
    match exit {
        Some(exit) => (Style::Plain, exit.to_string()),
        None => (Style::Calm, "-".to_owned()),
    }
}
