//! Masks fields of payloads and values.

use serde_json::Value;

use crate::args::Mask;
use crate::commands::listen::matches;

/// The text in the place of a masked value.
const MASK: &str = "***";

/// All masks.
#[derive(Clone, Debug, Default)]
pub(super) struct Masks(pub(super) Vec<Mask>);

/// What is not shown of payloads and values.
#[derive(Clone, Debug, Default)]
pub(super) struct Secrecy {
    pub(super) hides_payloads: bool,
    pub(super) masks: Masks,
}

impl Masks {
    /// Returns whether the fields of an event or a value with this name are masked.
    pub(super) fn cover(&self, name: &str) -> bool {
        self.0.iter().any(|mask| matches(&mask.pattern, name))
    }

    /// Replaces the fields that are masked in what has this name, at any depth.
    pub(super) fn apply(&self, name: &str, value: &mut Value) {
        let masks = self.0.iter().filter(|mask| matches(&mask.pattern, name));
        let fields: Vec<_> = masks.map(|mask| &*mask.field).collect();
        if !fields.is_empty() {
            replace(&fields, value);
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
        Masks(masks).apply(name, &mut value);
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
