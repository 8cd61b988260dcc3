//! `tidings ps`

use std::process::ExitCode;

use tidings_supervisor::{Exit, RemoteError, RemoteSupervisor, Status, WorkerState, WorkerStatus};
use tokio::task::JoinSet;

use crate::args::Ps;
use crate::terminal::{
    Cell, Style, age, complain, harmless, harmless_json, harmless_lines, paint, say, table,
};

const HEADINGS: [&str; 7] = [
    "NAME",
    "SLOT",
    "PID",
    "STATE",
    "UPTIME",
    "RESTARTS",
    "LAST EXIT",
];

pub(crate) async fn ps(args: &Ps) -> anyhow::Result<ExitCode> {
    let (fleets, lost) = match &args.name {
        Some(name) => (
            vec![RemoteSupervisor::find(Some(name)).await?.status().await?],
            false,
        ),
        None => all().await,
    };
    if args.json {
        say(harmless_json(&fleets, true)?);
    } else if !fleets.is_empty() {
        let about = fleets.iter().map(about).collect::<Vec<_>>();
        let rows = fleets.iter().flat_map(rows).collect::<Vec<_>>();
        say(format_args!(
            "{}\n\n{}",
            about.join("\n"),
            table(&HEADINGS, &rows)
        ));
    } else if !lost {
        let searched = RemoteSupervisor::runtime_dirs();
        say(RemoteError::NoneRunning { searched });
    }
    Ok(if lost {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// And whether there is one that could not be asked. Who ends while it is asked runs no more.
async fn all() -> (Vec<Status>, bool) {
    let mut asked = JoinSet::new();
    for remote in RemoteSupervisor::list().await {
        asked.spawn(async move { remote.status().await });
    }
    let (mut fleets, mut lost) = (Vec::new(), false);
    for answer in asked.join_all().await {
        match answer {
            Ok(status) => fleets.push(status),
            Err(error) if error.is_stopped() => {}
            Err(error) => {
                lost = true;
                let error = format!("{:#}", anyhow::Error::new(error));
                complain(Style::Alarm, "error", &harmless_lines(error));
            }
        }
    }
    fleets.sort_by(|one, other| one.name.cmp(&other.name));
    (fleets, lost)
}

/// The supervisor itself.
fn about(fleet: &Status) -> String {
    let name = paint(Style::Heading, harmless(&fleet.name));
    let mut about = format!("{name}  pid {}", fleet.pid);
    if !fleet.listen.is_empty() {
        about += ", listening on ";
        about += &harmless(fleet.listen.join(", "));
    }
    if fleet.is_reloading {
        about += ", reloading";
    }
    about
}

fn rows(fleet: &Status) -> impl Iterator<Item = Vec<Cell>> {
    fleet.workers.iter().map(|worker| row(&fleet.name, worker))
}

fn row(name: &str, worker: &WorkerStatus) -> Vec<Cell> {
    let plain = |text: String| (Style::Plain, text);
    let is_there = worker.pid.is_some();
    vec![
        plain(harmless(name)),
        plain(worker.slot.to_string()),
        plain(worker.pid.map_or("-".to_owned(), |pid| pid.to_string())),
        (style(worker.state), worker.state.to_string()),
        plain(if is_there {
            age(worker.uptime)
        } else {
            "-".to_owned()
        }),
        plain(worker.restarts.to_string()),
        last_exit(worker.last_exit.as_ref()),
    ]
}

fn style(state: WorkerState) -> Style {
    match state {
        WorkerState::Ready => Style::Good,
        WorkerState::Draining => Style::Calm,
        WorkerState::Failed => Style::Alarm,
        _ => Style::Trouble,
    }
}

fn last_exit(exit: Option<&Exit>) -> Cell {
    match exit {
        Some(exit) => (Style::Plain, harmless(exit)),
        None => (Style::Calm, "-".to_owned()),
    }
}
