//! One name of the contracts: the payload that is written and read under it, in each contract that has it.

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use super::{Contracts, cut, panicked};
use crate::commands::console::api::Failure;
use crate::commands::console::limits::PREVIEW;
use crate::contract::{Contract, Event, JsonSchemas, Side, Sides, outline};

/// The most forms of one place that are shown. Contracts may have the same one.
const FORMS: usize = 8;

/// The most handlers and further names that are shown, and the most characters of each.
const LISTED: usize = 50;
const NAME: usize = 200;

/// The query of a place.
#[derive(Debug, Deserialize)]
pub(in super::super) struct PlaceQuery {
    /// `event`, `request`, `value`, `map` or `counter`.
    kind: String,
    name: String,
}

impl Contracts {
    /// Returns the forms of a place, the newest first, and the contracts that have each of them.
    pub(in super::super) async fn place(&self, query: PlaceQuery) -> Result<Value, Failure> {
        let contracts = self.known().contracts();
        let turn = self.turn().await;
        let forms = spawn_blocking(move || {
            let _turn = turn;
            let mut forms = Vec::<(Value, Vec<String>)>::new();
            for (hash, contract) in contracts.into_iter().rev() {
                let Some(form) = form(&contract, &query) else {
                    continue;
                };
                match forms.iter_mut().find(|(other, _)| *other == form) {
                    Some((_, hashes)) => hashes.push(hash),
                    None => forms.push((form, vec![hash])),
                }
            }
            forms
        });
        let forms = forms.await.map_err(panicked)?;
        if forms.is_empty() {
            let error = "no contract that runs now has this name";
            return Err(Failure::new(StatusCode::NOT_FOUND, error));
        }
        let not_shown = forms.len().saturating_sub(FORMS);
        let forms = forms.into_iter().take(FORMS).map(|(mut form, hashes)| {
            form["hashes"] = hashes.into();
            form
        });
        Ok(json!({ "forms": forms.collect::<Vec<_>>(), "not_shown": not_shown }))
    }
}

fn form(contract: &Contract, query: &PlaceQuery) -> Option<Value> {
    let name = &*query.name;
    match &*query.kind {
        "value" => Some(
            json!({ "payload": sides(contract, ("values", name), contract.values.get(name)?) }),
        ),
        "map" => {
            Some(json!({ "payload": sides(contract, ("maps", name), contract.maps.get(name)?) }))
        }
        "counter" => contract.counters.get(name).map(|_| json!({})),
        "event" | "request" => Some(event(contract, name, contract.events.get(name)?)),
        _ => None,
    }
}

fn event(contract: &Contract, name: &str, event: &Event) -> Value {
    let response = event.response.as_ref();
    let aliases = event
        .alias
        .iter()
        .map(|(field, names)| format!("{field}: {}", names.join(", ")));
    json!({
        "payload": sides(contract, ("events", name), &event.payload),
        "response": response.map(|it| sides(contract, ("responses", name), it)),
        "since": event.payload.since.as_deref().map(short),
        "handled_by": event.handled_by.iter().take(LISTED).map(|it| short(it)).collect::<Vec<_>>(),
        "alias": aliases.take(LISTED).map(|it| short(&it)).collect::<Vec<_>>(),
    })
}

/// Describes what is written and read; as one if it is the same.
fn sides(contract: &Contract, (kind, name): (&'static str, &str), sides: &Sides) -> Value {
    let outline = |side| outline(contract, (kind, name), sides, side);
    let both = outline(Side::Writes).and_then(|writes| Ok((writes, outline(Side::Reads)?)));
    let Ok((writes, reads)) = both else {
        return json!({ "error": "its schema is too large to be shown" });
    };
    let schemas: serde_json::Map<_, _> = JsonSchemas::new(contract)
        .of(kind, name, sides)
        .into_iter()
        .collect();
    // Outlines leave parts out, and schemas do not.
    let is_same = schemas.len() < 2;
    let schemas = Value::from(schemas);
    let is_short = schemas.to_string().len() <= PREVIEW;
    json!({
        "is_opaque": sides.opaque,
        "is_same": is_same,
        "writes": writes,
        "reads": reads,
        "schemas": is_short.then_some(schemas),
    })
}

fn short(text: &str) -> String {
    cut(text, NAME)
}
