//! Checks payloads against the contract of the project, before they are sent.

use std::collections::HashMap;

use serde_json::Value;

use crate::app::App;
use crate::commands::schema::source::{Read, read};
use crate::contract::{Reader, TooComplex};
use crate::exit::Problem;
use crate::settings;
use crate::terminal::escape;

/// The check of payloads. Without a contract it allows all of them.
#[derive(Debug, Default)]
pub(crate) struct PayloadCheck {
    contract: Option<Read>,
    /// The readers of the events so far; `None` for those that cannot be checked.
    readers: HashMap<String, Option<Reader>>,
}

/// Refuses a payload that no handler can read, if the project has a contract.
pub(crate) fn check_payload(app: &App, event: &str, data: &Value) -> Result<(), Problem> {
    let check = PayloadCheck::of_project(app)?.check(app, event, data);
    check.map_err(|text| Problem::usage(text).help("--force sends it all the same"))
}

impl PayloadCheck {
    /// The check against the contract of the project, if it has one. A contract that cannot be read is a
    /// warning.
    pub(crate) fn of_project(app: &App) -> Result<Self, Problem> {
        let Some(path) = settings::contract()?.file else {
            return Ok(Self::default());
        };
        let contract = read(&path).map_err(|problem| not_checked(app, &problem.to_string()));
        Ok(Self {
            contract: contract.ok(),
            readers: HashMap::new(),
        })
    }

    /// Returns the reason why no handler can read a payload as an error.
    pub(crate) fn check(&mut self, app: &App, event: &str, data: &Value) -> Result<(), String> {
        let Some(Read { name, contract, .. }) = &self.contract else {
            return Ok(());
        };
        if !contract.events.contains_key(event) {
            return Ok(());
        }
        let readers = &mut self.readers;
        let reader = readers
            .entry(event.to_owned())
            .or_insert_with(|| Reader::of(contract, event));
        let Some(known) = reader else {
            return Ok(());
        };
        let reasons = known
            .unreadable(data)
            .unwrap_or_else(|problem: TooComplex| {
                not_checked(app, &escape(problem));
                *reader = None;
                Vec::new()
            });
        let Some(first) = reasons.first() else {
            return Ok(());
        };
        let (event, path, what) = (escape(event), escape(&first.path), escape(&first.what));
        Err(format!(
            "no handler can read this payload of `{event}`, as {name} says: {path}: {what}"
        ))
    }
}

fn not_checked(app: &App, why: &str) {
    app.warn(&format!("the payload is not checked: {why}"));
}
