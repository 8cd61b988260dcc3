//! One name of a contract, with all that is declared under it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::error::contract::ContractError;
use crate::event::schema::{
    Annotations, Declarations, Declared, DeclaredHandler, DeclaredResponse, Schemas, Sides,
};

/// What a name belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Event,
    Value,
    Map,
    Counter,
}

impl Kind {
    /// The part of the contract that lists it.
    pub(super) fn part(self) -> &'static str {
        match self {
            Self::Event => "events",
            Self::Value => "values",
            Self::Map => "maps",
            Self::Counter => "counters",
        }
    }

    /// The word for it in errors.
    fn noun(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Value => "shared value",
            Self::Map => "map",
            Self::Counter => "counter",
        }
    }
}

/// What is declared under one name.
#[derive(Default)]
pub(super) struct Entry {
    declared: Vec<Declared>,
    /// The payloads of handlers that name the event themselves.
    payloads: Vec<Declared>,
    handlers: Vec<(&'static str, DeclaredResponse)>,
}

/// Groups declarations by name, in the order in which their schemas are generated.
pub(super) fn group(declarations: Declarations) -> [(Kind, BTreeMap<String, Entry>); 4] {
    let Declarations {
        events,
        handlers,
        values,
        maps,
        counters,
    } = declarations;
    let mut events = by_name(events);
    for handler in handlers {
        add_handler(&mut events, &handler);
    }
    [
        (Kind::Event, events),
        (Kind::Value, by_name(values)),
        (Kind::Map, by_name(maps)),
        (Kind::Counter, by_name(counters)),
    ]
}

fn by_name(declared: Vec<Declared>) -> BTreeMap<String, Entry> {
    let mut entries = BTreeMap::<_, Entry>::new();
    for declared in declared {
        let entry = entries.entry(declared.name.to_string()).or_default();
        entry.declared.push(declared);
    }
    entries
}

fn add_handler(events: &mut BTreeMap<String, Entry>, handler: &DeclaredHandler) {
    for name in &handler.names {
        let entry = events.entry(name.to_string()).or_default();
        entry.handlers.push((handler.path, handler.response));
        entry.payloads.extend(handler.payload.clone());
    }
}

impl Entry {
    /// Returns the entry of the contract, and its annotations.
    pub(super) fn describe(
        mut self,
        kind: Kind,
        name: &str,
        schemas: &mut Schemas,
    ) -> Result<(Value, Annotations), ContractError> {
        // The linker determines the order of collection.
        for declared in [&mut self.declared, &mut self.payloads] {
            declared.sort_by_key(|declared| (declared.type_name, declared.source));
            declared.dedup_by_key(|declared| declared.type_name);
        }
        self.handlers.sort_by_key(|(path, _)| *path);
        let (mut entry, mut about) = (Map::new(), Annotations::new());
        if self.declared.iter().any(|declared| declared.is_opaque) {
            entry.insert("opaque".to_owned(), json!(true));
        } else if let Some(sides) = self.sides(kind, name, schemas, &mut about)? {
            sides.add_to(&mut entry);
        }
        if let Some(response) = self.response(schemas) {
            entry.insert("response".to_owned(), response);
        }
        self.add_facts(&mut entry);
        self.annotate(&mut about);
        Ok((Value::Object(entry), about))
    }

    /// Returns the schemas of the payload. The types that are sent have the same ones; each handler that
    /// names the event itself may read another type.
    fn sides(
        &self,
        kind: Kind,
        name: &str,
        schemas: &mut Schemas,
        about: &mut Annotations,
    ) -> Result<Option<Sides>, ContractError> {
        let mut own: Option<(Sides, &Declared)> = None;
        for declared in &self.declared {
            let Some(describe) = declared.schema else {
                continue;
            };
            let sides = schemas.sides(describe, about);
            match &own {
                None => own = Some((sides, declared)),
                Some((first, _)) if *first == sides => {}
                Some((_, first)) => {
                    return Err(ContractError::Conflict {
                        kind: kind.noun(),
                        name: name.to_owned(),
                        first: first.type_name,
                        second: declared.type_name,
                    });
                }
            }
        }
        let schema_of = |payload: &Declared| Some(schemas.sides(payload.schema?, about));
        let payloads = self.payloads.iter().filter_map(schema_of);
        let (mut writes, mut reads): (Vec<_>, Vec<_>) =
            payloads.map(|sides| (sides.writes, sides.reads)).unzip();
        if let Some((own, _)) = own {
            writes = vec![own.writes];
            reads.push(own.reads);
        }
        let sides = all_of(writes).zip(all_of(reads));
        Ok(sides.map(|(writes, reads)| Sides { writes, reads }))
    }

    /// Returns the response of the handlers, if one of them returns a value. Without a schema, it is an
    /// empty object.
    fn response(&self, schemas: &mut Schemas) -> Option<Value> {
        let mut is_known = true;
        let (mut writes, mut reads) = (Vec::new(), Vec::new());
        for (_, response) in &self.handlers {
            match response {
                DeclaredResponse::Nothing => {}
                DeclaredResponse::Unknown => is_known = false,
                DeclaredResponse::Known(describe) => {
                    let sides = schemas.sides(*describe, &mut Annotations::new());
                    writes.push(sides.writes);
                    reads.push(sides.reads);
                }
            }
        }
        let mut response = Map::new();
        let is_null = |schema: &Value| *schema == json!({"type": "null"});
        if is_known && writes.iter().all(is_null) {
            return None;
        }
        if let (true, Some(writes), Some(reads)) = (is_known, any_of(writes), any_of(reads)) {
            Sides { writes, reads }.add_to(&mut response);
        }
        Some(Value::Object(response))
    }

    fn add_facts(&self, entry: &mut Map<String, Value>) {
        let mut aliases = BTreeMap::<&str, Vec<&str>>::new();
        for (path, alias) in self.declared.iter().flat_map(|declared| declared.aliases) {
            aliases.entry(path).or_default().push(alias);
        }
        for names in aliases.values_mut() {
            names.sort_unstable();
            names.dedup();
        }
        if !aliases.is_empty() {
            entry.insert("alias".to_owned(), json!(aliases));
        }
        if let Some(since) = self.declared.iter().find_map(|declared| declared.since) {
            entry.insert("since".to_owned(), json!(since));
        }
        let without_crate = |path: &'static str| path.split_once("::").map_or(path, |it| it.1);
        let handlers = self.handlers.iter().map(|(path, _)| without_crate(path));
        let handlers: Vec<&str> = handlers.collect();
        if !handlers.is_empty() {
            entry.insert("handled_by".to_owned(), json!(handlers));
        }
    }

    /// Adds where the type is, and the documentation of a type whose schema has none.
    fn annotate(&self, about: &mut Annotations) {
        let Some(declared) = self.declared.first() else {
            return;
        };
        let root = about.entry(String::new()).or_default();
        let source = source(declared.source);
        for (key, value) in [
            ("description", declared.docs),
            ("source", &source),
            ("type", declared.type_name),
        ] {
            if !value.is_empty() {
                root.entry(key).or_insert_with(|| json!(value));
            }
        }
    }
}

/// Returns the path of a source file within the repository, or nothing for the file of a dependency: its
/// path is one of this machine.
fn source(file: &str) -> String {
    let file = file.replace('\\', "/");
    if file.starts_with('/') || file.contains(':') {
        return String::new();
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in file.split('/') {
        if part == ".." && parts.last().is_some_and(|last| *last != "..") {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    parts.join("/")
}

/// Returns the schema of values that all of `schemas` allow.
fn all_of(mut schemas: Vec<Value>) -> Option<Value> {
    if schemas.iter().any(|schema| *schema != json!(true)) {
        schemas.retain(|schema| *schema != json!(true));
    }
    combined("allOf", schemas)
}

/// Returns the schema of values that one of `schemas` allows.
fn any_of(schemas: Vec<Value>) -> Option<Value> {
    if schemas.contains(&json!(true)) {
        return Some(json!(true));
    }
    combined("anyOf", schemas)
}

fn combined(keyword: &str, mut schemas: Vec<Value>) -> Option<Value> {
    schemas.sort_by_cached_key(Value::to_string);
    schemas.dedup();
    match schemas.len() {
        0 | 1 => schemas.pop(),
        _ => Some(json!({keyword: schemas})),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_the_same_on_each_machine() {
        let cases = [
            ("src/users.rs", "src/users.rs"),
            ("examples/contract/../users.rs", "examples/users.rs"),
            ("../../users.rs", "../../users.rs"),
            ("src\\users.rs", "src/users.rs"),
            ("/home/ada/.cargo/registry/shop/src/users.rs", ""),
            ("C:\\shop\\src\\users.rs", ""),
        ];
        for (file, expected) in cases {
            assert_eq!(source(file), expected);
        }
    }
}
