//! `tidings members`: lists the members of the namespace, with what they say about themselves.

mod detail;
mod watch;

use std::time::SystemTime;

use tidings::{Bus, NodeId};

use self::watch::watch;
use crate::app::App;
use crate::args::Members;
use crate::connect::connect;
use crate::exit::Exit;
use crate::inspect::{Inspected, inspect};
use crate::output;
use crate::recipient::named;
use crate::settings::Settings;
use crate::terminal::{Cell, Style, age, count, escape, table};

const HEADINGS: [&str; 10] = [
    "NAME", "ROLE", "VERSION", "HOST", "PID", "SINCE", "RECEIVES", "GAPS", "NODE", "",
];

pub(crate) async fn members(app: &App, args: &Members) -> anyhow::Result<Exit> {
    let settings = app.settings()?;
    let bus = connect(app, &settings).await?;
    if args.watch {
        return watch(app, &settings, args, &bus).await;
    }
    let members = asked(app, &bus, args.name.as_deref()).await?;
    if app.is_json() {
        for member in &members {
            output::stream(output::versioned(&member.json(args.name.is_some())?)?)?;
        }
    } else {
        output::result(block(&settings, args, &members))?;
    }
    Ok(exit_of(&members))
}

/// Asks all members, and returns those that are wanted.
async fn asked(app: &App, bus: &Bus, name: Option<&str>) -> anyhow::Result<Vec<Inspected>> {
    let mut members = bus.members().await?;
    if let Some(name) = name {
        members = vec![named(members, name)?];
    }
    Ok(inspect(bus, members, app.global.patience()).await.members)
}

fn exit_of(members: &[Inspected]) -> Exit {
    if members.iter().any(Inspected::has_failed) {
        Exit::Incomplete
    } else {
        Exit::Done
    }
}

/// Returns the text of the members: a table, or one of them in detail.
fn block(settings: &Settings, args: &Members, members: &[Inspected]) -> String {
    match members {
        [member] if args.name.is_some() => detail::detail(member),
        members => list(settings, members),
    }
}

fn list(settings: &Settings, members: &[Inspected]) -> String {
    let rows: Vec<_> = members.iter().map(row).collect();
    let about = about(settings, members.len());
    if rows.is_empty() {
        about
    } else {
        format!("{}\n{about}", table(&HEADINGS, &rows))
    }
}

fn about(settings: &Settings, members: usize) -> String {
    let members = match members {
        0 => "no members".to_owned(),
        members => count(members, "member"),
    };
    let (namespace, url) = (&settings.namespace.value, &settings.url.value);
    escape(format_args!("{members} of {namespace} at {url}"))
}

fn row(inspected: &Inspected) -> Vec<Cell> {
    let member = &inspected.member;
    let plain = |text: &str| (Style::Plain, escape(text));
    let or_none = |text: &Option<String>| plain(text.as_deref().unwrap_or("-"));
    let gaps = inspected.inspection().map(|it| it.health.gaps);
    let since = SystemTime::now().duration_since(member.started);
    vec![
        plain(&member.name),
        or_none(&member.role),
        or_none(&member.version),
        plain(&member.host),
        (Style::Plain, member.pid.to_string()),
        (Style::Plain, age(since.unwrap_or_default())),
        receives(inspected),
        match gaps {
            None => (Style::Dim, "-".to_owned()),
            Some(0) => (Style::Plain, "0".to_owned()),
            Some(gaps) => (Style::Warning, gaps.to_string()),
        },
        (Style::Dim, short(member.id)),
        match inspected.why_not() {
            Some(why) => (Style::Warning, why),
            None => (Style::Plain, String::new()),
        },
    ]
}

fn receives(inspected: &Inspected) -> Cell {
    match inspected.receives() {
        Some(true) => (Style::Success, "yes".to_owned()),
        Some(false) => (Style::Error, "no".to_owned()),
        None => (Style::Dim, "-".to_owned()),
    }
}

/// Returns the first 8 digits of an id.
pub(crate) fn short(node: NodeId) -> String {
    node.to_string().chars().take(8).collect()
}
