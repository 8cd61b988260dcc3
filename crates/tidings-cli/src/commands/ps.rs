//! `tidings ps`: lists the workers of all supervisors.

use tidings_supervisor::{
    Exit as WorkerExit, RemoteError, RemoteSupervisor, Status, WorkerState, WorkerStatus,
};
use tokio::task::JoinSet;

use crate::app::App;
use crate::args::Ps;
use crate::exit::{self, Exit};
use crate::output;
use crate::terminal::{
    Cell, Style, age, escape, escape_lines, escaped_json, paint, print_labeled, table,
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

pub(crate) async fn ps(app: &App, args: &Ps) -> anyhow::Result<Exit> {
    let (statuses, is_incomplete) = match &args.name {
        Some(name) => match RemoteSupervisor::find(Some(name)).await?.status().await {
            Ok(status) => (vec![status], false),
            // Unlike other requests, it changes nothing even if it has arrived.
            Err(error) => {
                exit::report(&error.into());
                return Ok(Exit::Failed);
            }
        },
        None => all().await,
    };
    if app.is_json() {
        output::result(escaped_json(&statuses, true)?)?;
    } else if !statuses.is_empty() {
        let supervisors = statuses.iter().map(describe).collect::<Vec<_>>();
        let rows = statuses.iter().flat_map(rows).collect::<Vec<_>>();
        output::result(format_args!(
            "{}\n\n{}",
            supervisors.join("\n"),
            table(&HEADINGS, &rows)
        ))?;
    } else if !is_incomplete {
        let searched = RemoteSupervisor::runtime_dirs();
        output::result(RemoteError::NoneRunning { searched })?;
    }
    Ok(if is_incomplete {
        Exit::Failed
    } else {
        Exit::Done
    })
}

/// Returns the status of all supervisors, and whether one of them did not respond. A supervisor that
/// stops meanwhile is omitted.
async fn all() -> (Vec<Status>, bool) {
    let mut requests = JoinSet::new();
    for remote in RemoteSupervisor::list().await {
        requests.spawn(async move { remote.status().await });
    }
    let (mut statuses, mut is_incomplete) = (Vec::new(), false);
    for response in requests.join_all().await {
        match response {
            Ok(status) => statuses.push(status),
            Err(error) if error.is_stopped() => {}
            Err(error) => {
                is_incomplete = true;
                let error = format!("{:#}", anyhow::Error::new(error));
                print_labeled(Style::Error, "error", &escape_lines(error));
            }
        }
    }
    statuses.sort_by(|one, other| one.name.cmp(&other.name));
    (statuses, is_incomplete)
}

/// Describes the supervisor itself.
fn describe(status: &Status) -> String {
    let name = paint(Style::Heading, escape(&status.name));
    let mut text = format!("{name}  pid {}", status.pid);
    if !status.listen.is_empty() {
        text += ", listening on ";
        text += &escape(status.listen.join(", "));
    }
    if status.is_reloading {
        text += ", reloading";
    }
    text
}

fn rows(status: &Status) -> impl Iterator<Item = Vec<Cell>> {
    status
        .workers
        .iter()
        .map(|worker| row(&status.name, worker))
}

fn row(name: &str, worker: &WorkerStatus) -> Vec<Cell> {
    let plain = |text: String| (Style::Plain, text);
    let is_running = worker.pid.is_some();
    vec![
        plain(escape(name)),
        plain(worker.slot.to_string()),
        plain(worker.pid.map_or("-".to_owned(), |pid| pid.to_string())),
        (style(worker.state), worker.state.to_string()),
        plain(if is_running {
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
        WorkerState::Ready => Style::Success,
        WorkerState::Draining => Style::Dim,
        WorkerState::Failed => Style::Error,
        _ => Style::Warning,
    }
}

fn last_exit(exit: Option<&WorkerExit>) -> Cell {
    match exit {
        Some(exit) => (Style::Plain, escape(exit)),
        None => (Style::Dim, "-".to_owned()),
    }
}
