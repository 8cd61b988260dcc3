//! `tidings counter`: shows and changes counters.

use serde_json::json;

use crate::app::App;
use crate::args::CounterAction;
use crate::confirm;
use crate::connect::connect;
use crate::exit::Exit;
use crate::output;
use crate::terminal::escape;

pub(crate) async fn counter(app: &App, action: &CounterAction) -> anyhow::Result<Exit> {
    let settings = app.settings()?;
    let (CounterAction::Get { name }
    | CounterAction::Add { name, .. }
    | CounterAction::Reset { name }) = action;
    match action {
        CounterAction::Get { .. } => {}
        CounterAction::Add { .. } => confirm::write(app, &settings)?,
        CounterAction::Reset { .. } => {
            let what = format!("the value of the counter {}", escape(name));
            confirm::removal(app, &settings, &what)?;
        }
    }
    let bus = connect(app, &settings).await?;
    let counter = bus.counter(name)?;
    let shown = escape(name);
    let (value, text) = match action {
        CounterAction::Get { .. } => {
            let value = counter.get().await?;
            (value, value.to_string())
        }
        CounterAction::Add { number, .. } => {
            let value = counter.add(*number).await?;
            (value, format!("{shown} is now {value}"))
        }
        CounterAction::Reset { .. } => {
            let value = counter.reset().await?;
            (value, format!("{shown} was {value} and is now 0"))
        }
    };
    if app.is_json() {
        output::json(&json!({ "counter": name, "value": value }))?;
    } else {
        output::result(text)?;
    }
    Ok(Exit::Done)
}
