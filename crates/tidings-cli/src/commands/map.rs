//! `tidings map`: shows and changes shared maps.

use std::sync::Arc;

use serde_json::{Value, json};
use tidings::{Bus, LoadError, SharedMap};

use crate::app::App;
use crate::args::MapAction;
use crate::confirm;
use crate::connect::connect;
use crate::exit::{Exit, Problem};
use crate::output;
use crate::payload;
use crate::terminal::{Style, count, escape, escaped_json, table};

pub(crate) type Entries = SharedMap<String, Value>;

pub(crate) async fn map(app: &App, action: &MapAction) -> anyhow::Result<Exit> {
    let (MapAction::Get { name, .. }
    | MapAction::Set { name, .. }
    | MapAction::Ls { name, .. }
    | MapAction::Remove { name, .. }) = action;
    let value = match action {
        MapAction::Set { key, value, .. } => {
            let command = format!("tidings map set {} {}", escape(name), escape(key));
            payload::read(value, &command)?
        }
        _ => Value::Null,
    };
    let settings = app.settings()?;
    match action {
        MapAction::Set { .. } => confirm::write(app, &settings)?,
        MapAction::Remove { key, .. } => {
            let what = format!("the key {} of {}", escape(key), escape(name));
            confirm::removal(app, &settings, &what)?;
        }
        MapAction::Get { .. } | MapAction::Ls { .. } => {}
    }
    let bus = connect(app, &settings).await?;
    let map: Entries = bus.map(name)?;
    match action {
        MapAction::Get { key, .. } => get(app, &map, key).await?,
        MapAction::Set { key, .. } => set(app, &map, key, &value).await?,
        MapAction::Ls { limit, .. } => return ls(app, &bus, &map, *limit).await,
        MapAction::Remove { key, .. } => remove(app, &map, key).await?,
    }
    Ok(Exit::Done)
}

async fn get(app: &App, map: &Entries, key: &String) -> anyhow::Result<()> {
    let Some(value) = map.get(key).await? else {
        return Err(no_key(map, key).into());
    };
    if app.is_json() {
        return output::json(&entry(map, key, &value));
    }
    output::result(escaped_json(&*value, true)?)
}

async fn set(app: &App, map: &Entries, key: &String, value: &Value) -> anyhow::Result<()> {
    map.set(key, value).await?;
    if app.is_json() {
        return output::json(&entry(map, key, value));
    }
    output::result(format_args!(
        "{} of {} is set",
        escape(key),
        escape(map.name())
    ))
}

async fn ls(app: &App, bus: &Bus, map: &Entries, limit: Option<usize>) -> anyhow::Result<Exit> {
    let failures = bus.health().failures;
    let mut entries: Vec<(String, Arc<Value>)> = map.all().await?.into_iter().collect();
    let failures = bus.health().failures - failures;
    entries.sort_by(|one, other| one.0.cmp(&other.0));
    let number = entries.len();
    entries.truncate(limit.unwrap_or(number));
    if app.is_json() {
        for (key, value) in &entries {
            output::stream(output::versioned(&entry(map, key, value))?)?;
        }
    } else if !entries.is_empty() {
        let rows = entries.iter().map(|(key, value)| {
            let value = escaped_json(&**value, false)?;
            Ok(vec![(Style::Plain, escape(key)), (Style::Plain, value)])
        });
        let rows = rows.collect::<serde_json::Result<Vec<_>>>()?;
        output::result(table(&["KEY", "VALUE"], &rows))?;
    }
    match number - entries.len() {
        0 => app.remark(format_args!("{} of {}", keys(number), escape(map.name()))),
        1 => app.remark(format_args!("1 of {} is not shown", keys(number))),
        more => app.remark(format_args!("{more} of {} are not shown", keys(number))),
    }
    if failures == 0 {
        return Ok(Exit::Done);
    }
    let failures = count(failures, "failure");
    app.warn(&format!(
        "{failures} while the map was read, so entries may be missing (-v shows why)"
    ));
    Ok(Exit::Incomplete)
}

fn keys(number: usize) -> String {
    count(number, "key")
}

async fn remove(app: &App, map: &Entries, key: &String) -> anyhow::Result<()> {
    if !remove_entry(map, key).await? {
        return Err(no_key(map, key).into());
    }
    if app.is_json() {
        return output::json(&json!({ "map": map.name(), "key": key, "value": null }));
    }
    output::result(format_args!(
        "{} of {} is removed",
        escape(key),
        escape(map.name())
    ))
}

/// Removes an entry, also one that cannot be decoded. Returns false if there is none.
pub(crate) async fn remove_entry(map: &Entries, key: &String) -> anyhow::Result<bool> {
    match map.get(key).await {
        Ok(None) => return Ok(false),
        Err(error @ LoadError::Unread { .. }) => return Err(error.into()),
        Ok(Some(_)) | Err(_) => map.remove(key).await?,
    }
    Ok(true)
}

fn entry(map: &Entries, key: &str, value: &Value) -> Value {
    json!({ "map": map.name(), "key": key, "value": value })
}

fn no_key(map: &Entries, key: &str) -> Problem {
    let text = format!("{} has no key `{}`", escape(map.name()), escape(key));
    Problem::new(Exit::Nobody, text)
}
