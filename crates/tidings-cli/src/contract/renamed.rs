//! Events that were renamed: one was removed, and one with the same fields was added.

use std::collections::HashMap;

use crate::contract::model::{Contract, Event, Side};

/// The events that only the new version has.
pub(super) struct Added<'a> {
    pub(super) names: Vec<&'a str>,
    /// By what is written, and also by a function that handles it.
    by_payload: HashMap<(String, Option<&'a str>), &'a str>,
}

/// Another name of an event that was removed.
#[derive(Clone, Copy)]
pub(super) struct Renamed<'a> {
    pub(super) to: &'a str,
    /// True if the same function handles both names. Otherwise, they only have the same fields.
    pub(super) is_certain: bool,
}

impl<'a> Added<'a> {
    pub(super) fn of(old: &'a Contract, new: &'a Contract) -> Self {
        let added = new.events.iter();
        let added = added.filter(|(name, _)| !old.events.contains_key(*name));
        let mut by_payload = HashMap::new();
        for (name, event) in added.clone() {
            let Some(payload) = fields_of(event) else {
                continue;
            };
            let handlers = event.handled_by.iter().map(|it| Some(it.as_str()));
            for handler in handlers.chain([None]) {
                by_payload
                    .entry((payload.clone(), handler))
                    .or_insert(&**name);
            }
        }
        Self {
            names: added.map(|(name, _)| &**name).collect(),
            by_payload,
        }
    }

    /// Returns the event that one that was removed may have been renamed to: it has the same fields.
    pub(super) fn like(&self, was: &'a Event) -> Option<Renamed<'a>> {
        let payload = fields_of(was)?;
        let handlers = was.handled_by.iter().map(|it| Some(it.as_str()));
        handlers.chain([None]).find_map(|handler| {
            let to = self.by_payload.get(&(payload.clone(), handler))?;
            Some(Renamed {
                to,
                is_certain: handler.is_some(),
            })
        })
    }
}

/// Returns what is written, if it has fields.
fn fields_of(event: &Event) -> Option<String> {
    let writes = event.payload.get(Side::Writes)?;
    let has_fields = writes.get("properties").is_some() || writes.get("$ref").is_some();
    has_fields.then(|| writes.to_string())
}
