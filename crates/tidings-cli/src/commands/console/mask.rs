//! Masks fields of payloads and values.

use serde_json::Value;
use tidings::{LoadError, TappedEvent, report};

use crate::args::Mask;
use crate::commands::listen::matches;

/// The text in the place of a masked value.
const MASK: &str = "***";

/// All masks.
#[derive(Clone, Debug, Default)]
pub(super) struct Masks(pub(super) Vec<Mask>);

/// The parts of payloads and values that are not shown.
#[derive(Clone, Debug, Default)]
pub(super) struct Secrecy {
    pub(super) hides_payloads: bool,
    pub(super) masks: Masks,
}

/// The fields that are masked in one event or value.
#[derive(Debug)]
pub(super) struct Fields<'a>(Vec<&'a str>);

impl Masks {
    /// Returns the masked fields of what has this name.
    pub(super) fn of(&self, name: &str) -> Fields<'_> {
        let masks = self.0.iter().filter(|mask| matches(&mask.pattern, name));
        Fields(masks.map(|mask| &*mask.field).collect())
    }

    /// Returns the masked fields of an event. An event of tidings itself has those of all masks: a
    /// response has the value that the handler of another event returned.
    pub(super) fn of_event(&self, event: &TappedEvent) -> Fields<'_> {
        if event.is_control() {
            Fields(self.0.iter().map(|mask| &*mask.field).collect())
        } else {
            self.of(event.name())
        }
    }
}

impl Fields<'_> {
    /// Returns whether any field is masked.
    pub(super) fn is_any(&self) -> bool {
        !self.0.is_empty()
    }

    /// Replaces the fields, at any depth.
    pub(super) fn replace_in(&self, value: &mut Value) {
        if self.is_any() {
            replace(&self.0, value);
        }
    }
}

impl Secrecy {
    /// Says why the value with this name cannot be read. The text of what cannot be decoded may quote
    /// the value.
    pub(super) fn words(&self, name: &str, error: &LoadError) -> String {
        let is_secret = self.hides_payloads || self.masks.of(name).is_any();
        match error {
            LoadError::Unread { .. } => report(error).to_string(),
            _ if is_secret => "it cannot be decoded".to_owned(),
            _ => report(error).to_string(),
        }
    }
}

fn replace(fields: &[&str], value: &mut Value) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(|it| replace(fields, it)),
        Value::Object(object) => {
            for (name, value) in object {
                if fields.contains(&name.as_str()) {
                    *value = MASK.into();
                } else {
                    replace(fields, value);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn masked(masks: &[&str], name: &str, mut value: Value) -> Value {
        let masks = masks.iter().map(|mask| mask.parse().unwrap()).collect();
        Masks(masks).of(name).replace_in(&mut value);
        value
    }

    #[test]
    fn a_field_is_masked_at_any_depth_in_what_matches() {
        let value =
            || json!({ "id": 7, "email": "a@b", "old": [{ "email": { "at": 1 }, "phone": null }] });
        assert_eq!(
            masked(&["user.*:email"], "user.renamed", value()),
            json!({ "id": 7, "email": "***", "old": [{ "email": "***", "phone": null }] })
        );
        assert_eq!(masked(&["user.*:email"], "order.placed", value()), value());
        assert_eq!(
            masked(&["*:phone", "user.renamed:id"], "user.renamed", value()),
            json!({ "id": "***", "email": "a@b", "old": [{ "email": { "at": 1 }, "phone": "***" }] })
        );
        assert_eq!(masked(&["*:email"], "tick", json!("email")), json!("email"));
    }
}
