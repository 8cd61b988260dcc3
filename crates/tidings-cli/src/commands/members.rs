//! `tidings members`: lists the members of the namespace.

use std::time::SystemTime;

use tidings::{Member, NodeId};

use crate::app::App;
use crate::connect::connect;
use crate::exit::Exit;
use crate::output;
use crate::settings::Settings;
use crate::terminal::{Cell, Style, age, count, escape, table};

const HEADINGS: [&str; 7] = ["NAME", "ROLE", "VERSION", "HOST", "PID", "SINCE", "NODE"];

pub(crate) async fn members(app: &App) -> anyhow::Result<Exit> {
    let settings = app.settings()?;
    let bus = connect(app, &settings).await?;
    let members = bus.members().await?;
    if app.is_json() {
        for member in &members {
            output::stream(output::versioned(member)?)?;
        }
        return Ok(Exit::Done);
    }
    let rows: Vec<_> = members.iter().map(row).collect();
    let about = about(&settings, members.len());
    if rows.is_empty() {
        output::result(about)?;
    } else {
        output::result(format_args!("{}\n{about}", table(&HEADINGS, &rows)))?;
    }
    Ok(Exit::Done)
}

fn about(settings: &Settings, members: usize) -> String {
    let members = match members {
        0 => "no members".to_owned(),
        members => count(members, "member"),
    };
    let (namespace, url) = (&settings.namespace.value, &settings.url.value);
    escape(format_args!("{members} of {namespace} at {url}"))
}

fn row(member: &Member) -> Vec<Cell> {
    let plain = |text: &str| (Style::Plain, escape(text));
    let or_none = |text: &Option<String>| plain(text.as_deref().unwrap_or("-"));
    let since = SystemTime::now().duration_since(member.started);
    vec![
        plain(&member.name),
        or_none(&member.role),
        or_none(&member.version),
        plain(&member.host),
        (Style::Plain, member.pid.to_string()),
        (Style::Plain, age(since.unwrap_or_default())),
        (Style::Dim, short(member.id)),
    ]
}

/// Returns the first 8 digits of an id.
pub(crate) fn short(node: NodeId) -> String {
    node.to_string().chars().take(8).collect()
}
