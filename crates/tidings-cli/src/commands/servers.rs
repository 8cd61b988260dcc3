//! `tidings servers`: shows the Redis servers behind the address.

use serde::Serialize;
use tidings::admin::{KeyCount, Server, ServerRole, ServerState};

use crate::app::App;
use crate::connect::{builder, prepare};
use crate::exit::{Exit, Problem};
use crate::output;
use crate::settings::Settings;
use crate::terminal::{Cell, Style, age, count, escape, table};

pub(crate) async fn servers(app: &App) -> anyhow::Result<Exit> {
    let settings = app.settings()?;
    prepare(app, &settings);
    let admin = builder(app, &settings).admin()?;
    let unreachable = |why: &dyn std::error::Error| {
        let text = format!(
            "cannot reach {}: {}",
            settings.url.value,
            tidings::report(why)
        );
        Problem::failed(text).help("`tidings context show` shows where the address comes from")
    };
    let servers = admin.servers().await.map_err(|why| unreachable(&why))?;
    if !servers.iter().any(|server| server.state.is_ok())
        && let Some(Err(why)) = servers.first().map(|server| server.state.as_ref())
    {
        return Err(unreachable(why).into());
    }
    if let Some(why) = denied(&servers) {
        return Err(Problem::failed(why).into());
    }
    print(app, &settings, &servers)?;
    Ok(exit(&servers))
}

/// Returns the error of a user who may not see anything.
fn denied(servers: &[Server]) -> Option<String> {
    let states = servers
        .iter()
        .filter_map(|server| server.state.as_ref().ok());
    let denials = states.map(|state| state.denied.iter().find(|denied| denied.command == "INFO"));
    let denials: Option<Vec<_>> = denials.collect();
    let first = *denials?.first()?;
    Some(format!("cannot ask for the state: {}", first.error))
}

fn print(app: &App, settings: &Settings, servers: &[Server]) -> anyhow::Result<()> {
    if app.is_json() {
        for server in servers {
            output::stream(output::versioned(&Line::of(server))?)?;
        }
        return Ok(());
    }
    let keys = format!("KEYS OF {}", escape(&settings.namespace.value));
    let has_slots = servers.iter().any(|server| !slots(server).is_empty());
    let mut headings = vec![
        "SERVER", "ROLE", "VERSION", "LAG", "MEMORY", "CLIENTS", "BEHIND", &keys,
    ];
    if has_slots {
        headings.push("SLOTS");
    }
    let rows: Vec<_> = servers
        .iter()
        .map(|server| row(server, has_slots))
        .collect();
    let about = format!(
        "{} at {}",
        count(servers.len(), "server"),
        settings.url.value
    );
    output::result(format_args!(
        "{}\n{}",
        table(&headings, &rows),
        escape(about)
    ))?;
    for server in servers {
        remarks(app, server);
    }
    Ok(())
}

/// Says why a server or a part of its state is missing.
fn remarks(app: &App, server: &Server) {
    let address = &server.address;
    let warn = |why: String| app.warn(&escape(format_args!("{address}: {why}")));
    match &server.state {
        Err(why) => warn(tidings::report(why).to_string()),
        Ok(state) => {
            let problem = state
                .sentinel
                .as_ref()
                .and_then(|it| it.quorum_problem.clone());
            problem.into_iter().for_each(warn);
            state
                .denied
                .iter()
                .for_each(|denied| warn(denied.error.clone()));
        }
    }
}

fn exit(servers: &[Server]) -> Exit {
    let is_clean = |server: &Server| {
        let replication = |state: &ServerState| {
            let replication = state.replication.as_ref();
            replication.is_none_or(|it| it.is_connected) && state.denied.is_empty()
        };
        server.state.as_ref().is_ok_and(replication)
    };
    if servers.iter().all(is_clean) {
        Exit::Done
    } else {
        Exit::Incomplete
    }
}

fn row(server: &Server, has_slots: bool) -> Vec<Cell> {
    let plain = |text: Option<String>| (Style::Plain, text.unwrap_or_else(|| "-".to_owned()));
    let mut cells = vec![plain(Some(escape(&server.address)))];
    match &server.state {
        Err(_) => {
            cells.push((Style::Error, "unreachable".to_owned()));
            cells.extend((0..6).map(|_| plain(None)));
        }
        Ok(state) => cells.extend([
            plain(Some(state.role.to_string())),
            plain(state.version.as_ref().map(escape)),
            lag(state),
            plain(memory(state)),
            plain(state.clients.map(|clients| clients.to_string())),
            plain(state.largest_backlog.map(bytes)),
            plain(state.keys.map(keys)),
        ]),
    }
    if has_slots {
        cells.push(plain(Some(slots(server)).filter(|slots| !slots.is_empty())));
    }
    cells
}

fn lag(state: &ServerState) -> Cell {
    let Some(replication) = &state.replication else {
        return (Style::Plain, "-".to_owned());
    };
    if !replication.is_connected {
        return (Style::Error, "disconnected".to_owned());
    }
    let behind = replication.lag_bytes.map(bytes);
    let silence = replication.silence.map(age);
    let parts: Vec<_> = behind.into_iter().chain(silence).collect();
    (Style::Plain, parts.join(", "))
}

fn memory(state: &ServerState) -> Option<String> {
    let used = bytes(state.used_memory?);
    Some(match state.max_memory {
        Some(max) => format!("{used} / {}", bytes(max)),
        None => used,
    })
}

fn keys(keys: KeyCount) -> String {
    let more = if keys.is_complete { "" } else { "+" };
    format!("{}{more}", keys.count)
}

fn slots(server: &Server) -> String {
    let slots = server.state.as_ref().map_or(&[][..], |state| &state.slots);
    let slots = slots.iter().map(|(first, last)| {
        if first == last {
            first.to_string()
        } else {
            format!("{first}-{last}")
        }
    });
    slots.collect::<Vec<_>>().join(" ")
}

/// Formats bytes: "0 B", "212M", "1.5G".
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["K", "M", "G", "T", "P"];
    if bytes < 1_024 {
        return format!("{bytes} B");
    }
    let (mut tenths, mut unit) = (bytes.saturating_mul(10) / 1_024, 0);
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1_024;
        unit += 1;
    }
    match tenths {
        0..100 => format!("{}.{}{}", tenths / 10, tenths % 10, UNITS[unit]),
        _ => format!("{}{}", tenths / 10, UNITS[unit]),
    }
}

/// A server as JSON.
#[derive(Serialize)]
pub(crate) struct Line<'a> {
    server: &'a str,
    role: Option<String>,
    version: Option<&'a str>,
    master: Option<&'a str>,
    is_connected: Option<bool>,
    lag_bytes: Option<u64>,
    silence: Option<u64>,
    used_memory: Option<u64>,
    max_memory: Option<u64>,
    clients: Option<u64>,
    largest_backlog: Option<u64>,
    keys: Option<u64>,
    are_keys_complete: Option<bool>,
    slots: Vec<[u16; 2]>,
    round_trip_micros: Option<u64>,
    denied: Vec<&'a str>,
    error: Option<String>,
}

impl<'a> Line<'a> {
    pub(crate) fn of(server: &'a Server) -> Self {
        let state = server.state.as_ref().ok();
        let replication = state.and_then(|state| state.replication.as_ref());
        let silence = replication.and_then(|it| it.silence);
        let role = state.map(|state| state.role);
        let role = role.filter(|role| *role != ServerRole::Unknown);
        let denied = state.map(|state| state.denied.iter().map(|denied| denied.command));
        Self {
            server: &server.address,
            role: role.map(|role| role.to_string()),
            version: state.and_then(|state| state.version.as_deref()),
            master: replication.map(|it| it.master.as_str()),
            is_connected: replication.map(|it| it.is_connected),
            lag_bytes: replication.and_then(|it| it.lag_bytes),
            silence: silence.map(|silence| silence.as_secs().saturating_mul(1_000)),
            used_memory: state.and_then(|state| state.used_memory),
            max_memory: state.and_then(|state| state.max_memory),
            clients: state.and_then(|state| state.clients),
            largest_backlog: state.and_then(|state| state.largest_backlog),
            keys: state.and_then(|state| state.keys).map(|keys| keys.count),
            are_keys_complete: state
                .and_then(|state| state.keys)
                .map(|keys| keys.is_complete),
            slots: state.map_or_else(Vec::new, |state| {
                state
                    .slots
                    .iter()
                    .map(|(first, last)| [*first, *last])
                    .collect()
            }),
            round_trip_micros: state.map(|state| micros(state.round_trip)),
            denied: denied.into_iter().flatten().collect(),
            error: server
                .state
                .as_ref()
                .err()
                .map(|why| tidings::report(why).to_string()),
        }
    }
}

fn micros(time: std::time::Duration) -> u64 {
    time.as_micros().try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_a_unit_and_at_most_four_digits() {
        for (number, text) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1.0K"),
            (1_536, "1.5K"),
            (10 << 10, "10K"),
            (212 << 20, "212M"),
            (1_023 << 20, "1023M"),
            (1 << 30, "1.0G"),
            (u64::MAX, "1638P"),
        ] {
            assert_eq!(bytes(number), text);
        }
    }
}
