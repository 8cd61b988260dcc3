//! `tidings members --watch`: shows the members again and again.

use std::time::{Duration, SystemTime};

use serde_json::json;
use tidings::Bus;
use tokio::time::{MissedTickBehavior, interval};

use super::{asked, block};
use crate::app::App;
use crate::args::Members;
use crate::exit::Exit;
use crate::inspect::Inspected;
use crate::output;
use crate::settings::Settings;
use crate::terminal::{Style, escape_lines, paint};
use crate::time::{milliseconds_of, time_of_day};
use crate::writer::{Part, write_until_interrupted};

/// The time between two blocks. Members answer once a second.
const EVERY: Duration = Duration::from_secs(1);

/// Shows the members until a signal, also while Redis is unreachable.
pub(super) async fn watch(
    app: &App,
    settings: &Settings,
    args: &Members,
    bus: &Bus,
) -> anyhow::Result<Exit> {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    write_until_interrupted(async |writer| {
        loop {
            ticks.tick().await;
            let members = asked(app, bus, args.name.as_deref()).await;
            let part = if app.is_json() {
                Part::Line(output::versioned(&object(args, members)?)?)
            } else {
                Part::Block(text(settings, args, members))
            };
            writer.write(part).await?;
        }
    })
    .await
}

fn object(
    args: &Members,
    members: anyhow::Result<Vec<Inspected>>,
) -> anyhow::Result<serde_json::Value> {
    let at = milliseconds_of(SystemTime::now());
    let (members, error) = match members {
        Ok(members) => (Some(members), None),
        Err(error) => (None, Some(format!("{error:#}"))),
    };
    let json_of = |members: Vec<Inspected>| {
        let members = members.iter();
        let members = members.map(|member| member.json(args.name.is_some()));
        members.collect::<Result<Vec<_>, _>>()
    };
    let members = members.map(json_of).transpose()?;
    Ok(json!({ "at": at, "members": members, "error": error }))
}

fn text(settings: &Settings, args: &Members, members: anyhow::Result<Vec<Inspected>>) -> String {
    let time = paint(
        Style::Dim,
        format_args!("{} UTC", time_of_day(SystemTime::now())),
    );
    match members {
        Ok(members) => format!("{}\n{time}", block(settings, args, &members)),
        Err(error) => {
            let error = escape_lines(format_args!("{error:#}"));
            format!("{} {error}\n{time}", paint(Style::Error, "error:"))
        }
    }
}
