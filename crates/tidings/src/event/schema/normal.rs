//! The normal form of a schema: without annotations, and the same for types that serde treats alike.
//!
//! A changed comment must not change a contract. Comments have an effect on the form of a schema,
//! too: schemars lists the documented variants of an enum one by one, and the others together.

use std::collections::BTreeMap;
use std::{fmt, mem};

use schemars::Schema;
use schemars::transform::{RemoveRefSiblings, Transform as _};
use serde_json::{Map, Value, json};

/// The annotations of one schema by the JSON pointer of their place.
pub(crate) type Annotations = BTreeMap<String, Map<String, Value>>;

/// Keywords that describe, and allow or forbid nothing. Extensions, which begin with `x-`, do so too.
const ANNOTATIONS: [&str; 9] = [
    "$comment",
    "$schema",
    "default",
    "deprecated",
    "description",
    "examples",
    "readOnly",
    "title",
    "writeOnly",
];

/// The annotations that a contract lists.
const LISTED: [&str; 4] = ["default", "deprecated", "description", "title"];

/// Returns the normal form of a schema, and moves its annotations to `annotations`.
pub(super) fn normalize(mut schema: Value, annotations: &mut Annotations) -> Value {
    Walk { annotations }.schema(&mut schema, &Place::Root);
    if let Ok(schema) = <&mut Schema>::try_from(&mut schema) {
        RemoveRefSiblings::default().transform(schema);
    }
    // Alternatives are ordered by their texts, and a dependency may have switched the order of keys off.
    schema.sort_all_objects();
    schema
}

/// Adds annotations to others, which have precedence.
pub(crate) fn add(annotations: &mut Annotations, more: Annotations) {
    for (pointer, more) in more {
        let here = annotations.entry(pointer).or_default();
        for (key, annotation) in more {
            here.entry(key).or_insert(annotation);
        }
    }
}

/// A place in a schema. Its `Display` is the JSON pointer.
enum Place<'a> {
    Root,
    Key(&'a Place<'a>, &'a str),
    At(&'a Place<'a>, usize),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Key(parent, key) => {
                write!(f, "{parent}/{}", key.replace('~', "~0").replace('/', "~1"))
            }
            Self::At(parent, at) => write!(f, "{parent}/{at}"),
        }
    }
}

struct Walk<'a> {
    annotations: &'a mut Annotations,
}

impl Walk<'_> {
    fn schema(&mut self, schema: &mut Value, place: &Place<'_>) {
        // A schema that only consists of another one is replaced by it, and looked at again.
        while let Value::Object(keywords) = schema {
            self.take_annotations(keywords, place);
            for key in ["anyOf", "oneOf"] {
                self.merge_texts(keywords, key, place);
            }
            match only_part(keywords) {
                Some(part) => *schema = part,
                None => break,
            }
        }
        match schema {
            Value::Object(keywords) if keywords.is_empty() => *schema = Value::Bool(true),
            Value::Object(keywords) => self.parts(keywords, place),
            _ => {}
        }
    }

    fn parts(&mut self, keywords: &mut Map<String, Value>, place: &Place<'_>) {
        for (key, value) in keywords {
            let place = &Place::Key(place, key);
            match (key.as_str(), value) {
                ("properties" | "patternProperties", Value::Object(parts)) => {
                    for (name, part) in parts {
                        self.schema(part, &Place::Key(place, name));
                    }
                }
                ("allOf" | "anyOf" | "oneOf" | "items", Value::Array(parts)) => {
                    for (at, part) in parts.iter_mut().enumerate() {
                        self.schema(part, &Place::At(place, at));
                    }
                }
                (
                    "items"
                    | "additionalItems"
                    | "additionalProperties"
                    | "contains"
                    | "propertyNames"
                    | "not"
                    | "if"
                    | "then"
                    | "else",
                    part,
                ) => self.schema(part, place),
                // Neither has an order.
                ("required", Value::Array(names)) => sort_texts(names),
                ("enum", Value::Array(values)) if values.iter().all(Value::is_string) => {
                    sort_texts(values);
                }
                _ => {}
            }
        }
    }

    fn take_annotations(&mut self, keywords: &mut Map<String, Value>, place: &Place<'_>) {
        let keys = keywords.keys().filter(|key| is_annotation(key));
        let keys: Vec<String> = keys.cloned().collect();
        for key in keys {
            if let Some(annotation) = keywords.remove(&key)
                && (is_extension(&key) || LISTED.contains(&key.as_str()))
            {
                let here = self.annotations.entry(place.to_string()).or_default();
                here.entry(key).or_insert(annotation);
            }
        }
    }

    /// Merges the alternatives under `key` that are texts, documented or not, into one.
    fn merge_texts(&mut self, keywords: &mut Map<String, Value>, key: &str, place: &Place<'_>) {
        let Some(Value::Array(parts)) = keywords.get_mut(key) else {
            return;
        };
        if !parts.iter().any(|part| texts(part).is_some()) {
            return;
        }
        let (merged, mut rest): (Vec<_>, Vec<_>) = mem::take(parts)
            .into_iter()
            .partition(|part| texts(part).is_some());
        let mut values: Vec<(String, Value)> = Vec::new();
        for part in merged {
            let texts = texts(&part).into_iter().flatten();
            values.extend(texts.map(|text| (text, part.clone())));
        }
        values.sort_by(|(one, _), (other, _)| one.cmp(other));
        values.dedup_by(|(one, _), (other, _)| one == other);
        let allowed: Vec<&str> = values.iter().map(|(text, _)| text.as_str()).collect();
        rest.insert(0, json!({"type": "string", "enum": allowed}));
        let list = Place::Key(place, key);
        let first = Place::At(&list, 0);
        let is_only = rest.len() == 1 && keywords.len() == 1;
        let texts = Place::Key(if is_only { place } else { &first }, "enum");
        for (at, (_, part)) in values.iter_mut().enumerate() {
            if let Value::Object(keywords) = part {
                self.take_annotations(keywords, &Place::At(&texts, at));
            }
        }
        keywords.insert(key.to_owned(), Value::Array(rest));
    }
}

fn is_annotation(keyword: &str) -> bool {
    is_extension(keyword) || ANNOTATIONS.contains(&keyword)
}

fn is_extension(keyword: &str) -> bool {
    keyword.starts_with("x-")
}

/// Returns the texts that a schema allows, if it allows only a list of texts.
fn texts(schema: &Value) -> Option<Vec<String>> {
    let keywords = schema.as_object()?;
    let is_known =
        |key: &String| matches!(key.as_str(), "type" | "const" | "enum") || is_annotation(key);
    if keywords.get("type")? != "string" || !keywords.keys().all(is_known) {
        return None;
    }
    let values = match (keywords.get("const"), keywords.get("enum")) {
        (Some(value), None) => std::slice::from_ref(value),
        (None, Some(Value::Array(values))) => values,
        _ => return None,
    };
    let texts = values.iter().map(|value| value.as_str().map(str::to_owned));
    texts.collect()
}

/// Removes and returns the only alternative or part of a schema that says nothing else.
fn only_part(keywords: &mut Map<String, Value>) -> Option<Value> {
    if keywords.len() > 1 {
        return None;
    }
    let (key, parts) = keywords.iter_mut().next()?;
    match parts.as_array_mut()?.as_mut_slice() {
        [part] if matches!(key.as_str(), "allOf" | "anyOf" | "oneOf") => Some(mem::take(part)),
        _ => None,
    }
}

fn sort_texts(values: &mut [Value]) {
    values.sort_by(|one, other| one.as_str().cmp(&other.as_str()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(schema: Value) -> (Value, Annotations) {
        let mut annotations = Annotations::new();
        (normalize(schema, &mut annotations), annotations)
    }

    #[test]
    fn annotations_are_moved_out_and_properties_of_their_names_stay() {
        let (schema, annotations) = normal(json!({
            "title": "User",
            "type": "object",
            "properties": {
                "title": {"type": "string", "description": "As it is shown.", "examples": ["Dr."]},
                "a/b": {"$ref": "#/definitions/Money", "description": "In cents.", "default": 5},
                "x-rate": {"type": "number", "x-unit": "EUR"},
            },
            "required": ["title", "a/b"],
        }));
        let expected = json!({
            "type": "object",
            "properties": {
                "title": {"type": "string"},
                "a/b": {"$ref": "#/definitions/Money"},
                "x-rate": {"type": "number"},
            },
            "required": ["a/b", "title"],
        });
        assert_eq!(schema, expected);
        let annotations = serde_json::to_value(annotations).unwrap();
        let expected = json!({
            "": {"title": "User"},
            "/properties/a~1b": {"default": 5, "description": "In cents."},
            "/properties/title": {"description": "As it is shown."},
            "/properties/x-rate": {"x-unit": "EUR"},
        });
        assert_eq!(annotations, expected);
    }

    #[test]
    fn documented_variants_have_the_same_form_as_others() {
        let plain = json!({"type": "string", "enum": ["Red", "Green", "Blue"]});
        let documented = json!({"oneOf": [
            {"type": "string", "enum": ["Green", "Blue"]},
            {"type": "string", "const": "Red", "description": "Stop."},
        ]});
        let (schema, annotations) = normal(documented);
        assert_eq!(schema, normal(plain).0);
        assert_eq!(schema["enum"], json!(["Blue", "Green", "Red"]));
        assert_eq!(annotations["/enum/2"]["description"], "Stop.");

        let object = json!({"type": "object", "properties": {"Mix": {"type": "integer"}}});
        let plain = json!({"oneOf": [{"type": "string", "enum": ["A", "B"]}, object]});
        let documented = json!({"oneOf": [
            {"type": "string", "enum": ["B"]},
            object,
            {"type": "string", "const": "A", "description": "First."},
        ]});
        let (schema, annotations) = normal(documented);
        assert_eq!(schema, normal(plain).0);
        assert_eq!(annotations["/oneOf/0/enum/0"]["description"], "First.");
    }

    #[test]
    fn a_described_anything_is_anything() {
        assert_eq!(normal(json!({"description": "Whatever."})).0, json!(true));
        assert_eq!(normal(json!(true)).0, json!(true));
        let wrapped = json!({"description": "One.", "allOf": [{"$ref": "#/definitions/A"}]});
        assert_eq!(normal(wrapped).0, json!({"$ref": "#/definitions/A"}));
    }

    #[test]
    fn a_constraint_beside_a_reference_is_kept() {
        let (schema, _) = normal(json!({"$ref": "#/definitions/A", "minProperties": 1}));
        let expected = json!({"minProperties": 1, "allOf": [{"$ref": "#/definitions/A"}]});
        assert_eq!(schema, expected);
    }
}
