//! `tidings state`: shows and changes shared values.

use serde_json::{Value, json};
use tidings::{LoadError, Shared, Snapshot};

use crate::app::App;
use crate::args::StateAction;
use crate::commands::edit::edit;
use crate::confirm;
use crate::connect::connect;
use crate::exit::{Exit, Problem};
use crate::output;
use crate::payload;
use crate::terminal::{Style, escape, escaped_json, paint};
use crate::time::utc;
use crate::writer::{Part, write_until_interrupted};

pub(crate) async fn state(app: &App, action: &StateAction) -> anyhow::Result<Exit> {
    let (StateAction::Get { name }
    | StateAction::Set { name, .. }
    | StateAction::Edit { name }
    | StateAction::Watch { name }
    | StateAction::Clear { name }) = action;
    let new = match action {
        StateAction::Set { value, .. } => {
            payload::read(value, &format!("tidings state set {}", escape(name)))?
        }
        _ => Value::Null,
    };
    let settings = app.settings()?;
    match action {
        StateAction::Set { .. } | StateAction::Edit { .. } => confirm::write(app, &settings)?,
        StateAction::Clear { .. } => {
            confirm::removal(app, &settings, &format!("the value of {}", escape(name)))?;
        }
        StateAction::Get { .. } | StateAction::Watch { .. } => {}
    }
    let bus = connect(app, &settings).await?;
    let state: Shared<Value> = bus.shared(name)?;
    match action {
        StateAction::Get { .. } => get(app, &state).await,
        StateAction::Set { if_version, .. } => set(app, &state, &new, *if_version).await,
        StateAction::Edit { .. } => edit(app, &state).await,
        StateAction::Watch { .. } => watch(app, &state).await,
        StateAction::Clear { .. } => clear(app, &state).await,
    }
}

async fn get(app: &App, state: &Shared<Value>) -> anyhow::Result<Exit> {
    let snapshot = state.refresh().await?;
    if app.is_json() {
        output::json(&described(state, &snapshot))?;
    }
    let Some(value) = snapshot.value() else {
        return Err(no_value(state).into());
    };
    if !app.is_json() {
        output::result(escaped_json(&**value, true)?)?;
        app.remark(format_args!("version {}", snapshot.version()));
    }
    Ok(Exit::Done)
}

async fn set(
    app: &App,
    state: &Shared<Value>,
    value: &Value,
    if_version: Option<u64>,
) -> anyhow::Result<Exit> {
    let written = match if_version {
        None => state.set(value).await?,
        Some(version) => {
            let written = set_at(state, version, value).await?;
            written.map_err(|found| {
                let name = escape(state.name());
                let help = format!("look at it with `tidings state get {name}`");
                Problem::failed(overtaken(state, &found, version)).help(help)
            })?
        }
    };
    print_written(app, state, &written)?;
    Ok(Exit::Done)
}

/// Sets the value if it is at this version, and returns the value that is there otherwise.
pub(crate) async fn set_at(
    state: &Shared<Value>,
    version: u64,
    value: &Value,
) -> anyhow::Result<Result<Snapshot<Value>, Snapshot<Value>>> {
    let now = state.refresh().await?;
    if now.version() != version {
        return Ok(Err(now));
    }
    Ok(state.compare_and_set(&now, value).await?)
}

pub(crate) fn overtaken(state: &Shared<Value>, found: &Snapshot<Value>, expected: u64) -> String {
    let (name, found) = (escape(state.name()), found.version());
    format!("{name} is at version {found}, not {expected}, and was not changed")
}

pub(crate) fn print_written(
    app: &App,
    state: &Shared<Value>,
    written: &Snapshot<Value>,
) -> anyhow::Result<()> {
    if app.is_json() {
        return output::json(&described(state, written));
    }
    let name = escape(state.name());
    output::result(format_args!("{name} is now version {}", written.version()))
}

fn no_value(state: &Shared<Value>) -> Problem {
    let text = format!("{} has no value", escape(state.name()));
    Problem::new(Exit::Nobody, text)
}

async fn clear(app: &App, state: &Shared<Value>) -> anyhow::Result<Exit> {
    match state.refresh().await {
        Ok(found) if found.value().is_none() => return Err(no_value(state).into()),
        Err(error @ LoadError::Unread { .. }) => return Err(error.into()),
        // A value that cannot be decoded can be removed.
        Ok(_) | Err(_) => {}
    }
    state.clear().await?;
    if app.is_json() {
        output::json(&described(state, &state.get().await?))?;
    } else {
        output::result(format_args!("{} is removed", escape(state.name())))?;
    }
    Ok(Exit::Done)
}

/// Prints the value and each change until a signal.
async fn watch(app: &App, state: &Shared<Value>) -> anyhow::Result<Exit> {
    write_until_interrupted(async |writer| {
        let mut changes = state.watch();
        let first = state.get().await?;
        writer.write(Part::Line(line(app, state, &first)?)).await?;
        let mut shown = first.version();
        while let Some(change) = changes.changed().await {
            // The first read of the value is a change, too.
            if change.version() != shown || change.stale_since().is_some() {
                shown = change.version();
                writer.write(Part::Line(line(app, state, &change)?)).await?;
            }
        }
        Ok(())
    })
    .await
}

/// Returns a change as a line.
fn line(app: &App, state: &Shared<Value>, change: &Snapshot<Value>) -> anyhow::Result<String> {
    if app.is_json() {
        return Ok(output::versioned(&described(state, change))?);
    }
    let value = match change.value() {
        Some(value) => escaped_json(&**value, false)?,
        None => paint(Style::Dim, "no value"),
    };
    let (time, version) = (paint(Style::Dim, utc()), change.version());
    let stale = match change.stale_since() {
        Some(_) => paint(
            Style::Warning,
            "  (perhaps not the newest: redis is unreachable)",
        ),
        None => String::new(),
    };
    Ok(format!("{time}  version {version}  {value}{stale}"))
}

fn described(state: &Shared<Value>, snapshot: &Snapshot<Value>) -> Value {
    json!({
        "name": state.name(),
        "version": snapshot.version(),
        "value": snapshot.value().map(|value| &**value),
        "is_set": snapshot.value().is_some(),
        "is_stale": snapshot.stale_since().is_some(),
    })
}
