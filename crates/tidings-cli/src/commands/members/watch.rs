//! `tidings members --watch`: shows the members again and again.

use std::pin::pin;
use std::time::{Duration, SystemTime};

use serde_json::json;
use tidings::Bus;
use tokio::time::{MissedTickBehavior, interval};

use super::{asked, block};
use crate::app::App;
use crate::args::Members;
use crate::exit::Exit;
use crate::inspect::Inspected;
use crate::interrupt::interrupted;
use crate::output::{self, checked};
use crate::screen::Screen;
use crate::settings::Settings;
use crate::terminal::{Style, escape_lines, paint};
use crate::time::{milliseconds_of, time_of_day};

/// The time between two blocks. Members answer once a second.
const EVERY: Duration = Duration::from_secs(1);

/// Shows the members until a signal, also while Redis is unreachable.
pub(super) async fn watch(
    app: &App,
    settings: &Settings,
    args: &Members,
    bus: &Bus,
) -> anyhow::Result<Exit> {
    let mut screen = Screen::new();
    let mut ended = pin!(interrupted());
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let members = async {
            ticks.tick().await;
            asked(app, bus, args.name.as_deref()).await
        };
        let members = tokio::select! {
            biased;
            () = &mut ended => return Ok(Exit::Done),
            members = members => members,
        };
        if app.is_json() {
            output::stream(output::versioned(&object(args, members)?)?)?;
        } else {
            checked(
                screen
                    .draw(&text(settings, args, members))
                    .and_then(|()| Screen::flush()),
            )?;
        }
    }
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
