//! The changes that both sides can read: fields that were added or removed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// The most references that are followed.
const DEPTH: usize = 16;

type Definitions<'a> = BTreeMap<&'a str, &'a Value>;

/// Returns the place and the description of each change between two schemas of readers.
pub(super) fn changes(
    [old, new]: [&Value; 2],
    definitions: &[Definitions<'_>; 2],
) -> Vec<(String, String)> {
    let mut found = Vec::new();
    compare([old, new], definitions, "", DEPTH, &mut found);
    found
}

fn compare(
    schemas: [&Value; 2],
    definitions: &[Definitions<'_>; 2],
    path: &str,
    depth: usize,
    found: &mut Vec<(String, String)>,
) {
    let has_references = |schema: &Value| schema.to_string().contains("\"$ref\"");
    if depth == 0 || schemas[0] == schemas[1] && !has_references(schemas[0]) {
        return;
    }
    let [old, new] = [
        resolve(schemas[0], &definitions[0]),
        resolve(schemas[1], &definitions[1]),
    ];
    let before = found.len();
    let [was, is] = [old, new].map(|it| it.get("properties").and_then(Value::as_object));
    if let (Some(was), Some(is)) = (was, is) {
        let names: BTreeSet<_> = was.keys().chain(is.keys()).collect();
        for name in names {
            let path = format!("{path}.{name}");
            match (was.get(name), is.get(name)) {
                (None, _) => {
                    found.push((path, "a field was added that old events may lack".into()));
                }
                (_, None) => found.push((
                    path,
                    "a field was removed that readers can do without".into(),
                )),
                (Some(was), Some(is)) => compare([was, is], definitions, &path, depth - 1, found),
            }
        }
    }
    if let (Some(was), Some(is)) = (old.get("items"), new.get("items")) {
        compare(
            [was, is],
            definitions,
            &format!("{path}[]"),
            depth - 1,
            found,
        );
    }
    if found.len() == before && old != new {
        let path = if path.is_empty() { "." } else { path };
        found.push((
            path.to_owned(),
            "the type was changed, and both versions can read it".into(),
        ));
    }
}

fn resolve<'a>(schema: &'a Value, definitions: &Definitions<'a>) -> &'a Value {
    let reference = schema.get("$ref").and_then(Value::as_str);
    let name = reference.and_then(|it| it.strip_prefix("#/definitions/"));
    name.and_then(|name| definitions.get(name).copied())
        .unwrap_or(schema)
}
