//! One name of a contract, with all that is declared under it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::combined::{Part, all_of, any_of, read, written};
use crate::error::contract::ContractError;
use crate::event::schema::{
    Annotations, Declarations, Declared, DeclaredHandler, DeclaredResponse, Schemas, Sides,
    add_annotations,
};

/// The kind of thing that a name belongs to.
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

/// The declarations of one name.
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

/// Returns the sort key of the declarations of one name. The first of each type is in the contract: it is
/// opaque if one of them is, and has a version if one of them does.
fn order(it: &Declared) -> impl Ord + use<> {
    let since = (it.since.is_none(), it.since);
    (
        it.type_name,
        !it.is_opaque,
        since,
        it.schema.is_none(),
        it.source,
        it.docs,
        it.aliases,
    )
}

/// The entry of one name in the contract.
#[derive(Default)]
pub(super) struct Described {
    pub(super) entry: Map<String, Value>,
    pub(super) annotations: Annotations,
    pub(super) annotations_of_response: Annotations,
}

impl Entry {
    /// Returns what the contract says.
    pub(super) fn describe(
        mut self,
        kind: Kind,
        name: &str,
        schemas: &mut Schemas,
    ) -> Result<Described, ContractError> {
        // The linker determines the order of collection.
        for declared in [&mut self.declared, &mut self.payloads] {
            declared.sort_by_key(order);
            declared.dedup_by_key(|declared| declared.type_name);
        }
        self.handlers.sort_by_key(|(path, _)| *path);
        let mut described = Described::default();
        let mut payloads = Vec::new();
        if self.declared.iter().any(|declared| declared.is_opaque) {
            described.entry.insert("opaque".to_owned(), json!(true));
        } else {
            let own = self.own(kind, name, schemas)?;
            let of_payload =
                |payload: &Declared| Some((payload.type_name, Part::of(payload.schema?, schemas)));
            payloads = self.payloads.iter().filter_map(of_payload).collect();
            let sides = sides(own.as_ref(), &payloads, &mut described.annotations);
            if let Some(sides) = sides {
                sides.add_to(&mut described.entry);
            }
        }
        if let Some(response) = self.response(schemas, &mut described.annotations_of_response) {
            described.entry.insert("response".to_owned(), response);
        }
        self.add_facts(&payloads, &mut described.entry);
        self.annotate(&mut described.annotations);
        Ok(described)
    }

    /// Returns the schemas of the types that are sent: they have the same ones.
    fn own(
        &self,
        kind: Kind,
        name: &str,
        schemas: &mut Schemas,
    ) -> Result<Option<Part>, ContractError> {
        let mut own: Option<(Part, &Declared)> = None;
        for declared in &self.declared {
            let Some(describe) = declared.schema else {
                continue;
            };
            let part = Part::of(describe, schemas);
            match &mut own {
                None => own = Some((part, declared)),
                Some((first, _)) if first.sides == part.sides => {
                    add_annotations(&mut first.about, part.about);
                }
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
        Ok(own.map(|(part, _)| part))
    }

    /// Returns the response of the handlers, if one of them returns a value. Without a schema, it is an
    /// empty object.
    fn response(&self, schemas: &mut Schemas, about: &mut Annotations) -> Option<Value> {
        let mut is_known = true;
        let mut parts = Vec::new();
        for (_, response) in &self.handlers {
            match response {
                DeclaredResponse::Nothing => {}
                DeclaredResponse::Unknown => is_known = false,
                DeclaredResponse::Known(describe) => parts.push(Part::of(*describe, schemas)),
            }
        }
        let is_null = |part: &Part| part.sides.writes == json!({"type": "null"});
        if is_known && parts.iter().all(is_null) {
            return None;
        }
        let mut response = Map::new();
        if is_known
            && let Some(writes) = any_of(parts.iter().map(written), about)
            && let Some(reads) = any_of(parts.iter().map(read), about)
        {
            Sides { writes, reads }.add_to(&mut response);
        }
        Some(Value::Object(response))
    }

    fn add_facts(&self, payloads: &[(&str, Part)], entry: &mut Map<String, Value>) {
        let aliases = self.aliases(payloads);
        if !aliases.is_empty() {
            entry.insert("alias".to_owned(), json!(aliases));
        }
        if let Some(since) = self.declared.iter().find_map(|declared| declared.since) {
            entry.insert("since".to_owned(), json!(since));
        }
        let without_crate = |path: &'static str| path.split_once("::").map_or(path, |it| it.1);
        let handlers = self.handlers.iter().map(|(path, _)| without_crate(path));
        let mut handlers: Vec<&str> = handlers.collect();
        handlers.sort_unstable();
        if !handlers.is_empty() {
            entry.insert("handled_by".to_owned(), json!(handlers));
        }
    }

    /// Returns the further names of fields that every reader accepts. The aliases of a payload whose
    /// handler names the event itself are not known: nothing derives `Event` for it.
    fn aliases(&self, payloads: &[(&str, Part)]) -> BTreeMap<&str, BTreeSet<&str>> {
        let is_of_event = |type_name: &str| {
            let is_same = |own: &str| type_name == own || type_name.ends_with(&format!("<{own}>"));
            self.declared.iter().any(|own| is_same(own.type_name))
        };
        let mut aliases = BTreeMap::<&str, BTreeSet<&str>>::new();
        for (path, alias) in self.declared.iter().flat_map(|declared| declared.aliases) {
            let field = path.strip_prefix('.').unwrap_or(path);
            let has_alias = |own: &Declared| own.aliases.contains(&(*path, *alias));
            let reads_field = |(type_name, part): &(&str, Part)| {
                !is_of_event(type_name) && may_have(&part.sides.reads, field)
            };
            if self.declared.iter().all(has_alias) && !payloads.iter().any(reads_field) {
                aliases.entry(*path).or_default().insert(*alias);
            }
        }
        aliases
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

/// Returns the schemas of an event. Each handler that names the event itself may read another type.
fn sides(own: Option<&Part>, payloads: &[(&str, Part)], about: &mut Annotations) -> Option<Sides> {
    let payloads = payloads.iter().map(|(_, payload)| payload);
    let readers = own.into_iter().chain(payloads.clone());
    let writes = match own {
        Some(own) => all_of([written(own)], about)?,
        None => all_of(payloads.map(written), about)?,
    };
    let reads = all_of(readers.map(read), about)?;
    Some(Sides { writes, reads })
}

/// Returns whether a schema may have a field of this name.
fn may_have(schema: &Value, field: &str) -> bool {
    let is_field = |fields: &Value| fields.get(field).is_some();
    let parts = ["allOf", "anyOf", "oneOf"]
        .into_iter()
        .filter_map(|keyword| schema.get(keyword)?.as_array());
    schema.get("$ref").is_some()
        || schema.get("properties").is_some_and(is_field)
        || parts.flatten().any(|part| may_have(part, field))
}

#[cfg(test)]
#[allow(dead_code, reason = "the types here are only described")]
mod tests {
    use schemars::JsonSchema;

    use super::super::Contract;
    use super::*;
    use crate::event::schema::Describe;

    /// A user.
    #[derive(JsonSchema)]
    struct User {
        id: u64,
        /// As it is shown.
        name: String,
    }

    #[derive(JsonSchema)]
    struct Id {
        /// Of the user.
        id: u64,
    }

    #[derive(JsonSchema)]
    struct Named {
        name: String,
    }

    fn user(type_name: &'static str, schema: Describe) -> Declared {
        Declared {
            name: "user".into(),
            type_name,
            source: "",
            docs: "",
            since: None,
            is_opaque: false,
            aliases: &[],
            schema: Some(schema),
        }
    }

    fn handler(path: &'static str, payload: Declared, response: Describe) -> DeclaredHandler {
        DeclaredHandler {
            path,
            names: vec!["user".into()],
            payload: Some(payload),
            response: DeclaredResponse::Known(response),
        }
    }

    /// Returns the contract of a program with one event.
    fn contract(handlers: impl IntoIterator<Item = DeclaredHandler>) -> Value {
        let mut declarations = Declarations::default();
        declarations.event(Declared {
            aliases: &[(".name", "title")],
            ..user("a::User", User::json_schema)
        });
        for handler in handlers {
            declarations.handler(handler);
        }
        let contract = Contract::new(declarations).unwrap();
        serde_json::from_str(&contract.to_string()).unwrap()
    }

    #[test]
    fn an_alias_counts_if_no_handler_reads_the_field_without_it() {
        let cases: [(&str, Describe, bool); 5] = [
            ("a::User", User::json_schema, true),
            ("alloc::sync::Arc<a::User>", User::json_schema, true),
            ("a::Id", Id::json_schema, true),
            ("a::Named", Named::json_schema, false),
            ("Option<a::Named>", Option::<Named>::json_schema, false),
        ];
        for (type_name, schema, counts) in cases {
            let handler = handler("a::on", user(type_name, schema), <()>::json_schema);
            let event = &contract([handler])["events"]["user"];
            assert_eq!(event.get("alias").is_some(), counts, "{type_name}");
        }
    }

    #[test]
    fn a_contract_does_not_depend_on_the_order_in_which_declarations_are_linked() {
        let counter = |source, since, docs| Declared {
            source,
            since,
            docs,
            schema: None,
            ..user("", User::json_schema)
        };
        let declared = [
            counter("src/a.rs", None, ""),
            counter("src/a.rs", None, "Visits."),
            counter("src/b.rs", Some("1.1"), ""),
            counter("src/c.rs", Some("1.0"), ""),
        ];
        let contract_from = |first: usize| {
            let mut declarations = Declarations::default();
            let (later, earlier) = declared.split_at(first);
            for declared in earlier.iter().chain(later) {
                declarations.counter(declared.clone());
            }
            Contract::new(declarations).unwrap().to_string()
        };
        let contract = contract_from(0);
        assert!(contract.contains(r#""since": "1.0""#), "{contract}");
        for first in 1..declared.len() {
            assert_eq!(contract_from(first), contract);
        }
    }

    #[test]
    fn handlers_of_several_crates_are_sorted() {
        let on = |path| handler(path, user("a::User", User::json_schema), <()>::json_schema);
        let handled_by = &contract([on("a::z"), on("b::y")])["events"]["user"]["handled_by"];
        assert_eq!(*handled_by, json!(["y", "z"]));
    }

    #[test]
    fn an_annotation_is_at_the_place_that_it_describes() {
        let payload = user("a::Id", Id::json_schema);
        let contract = contract([handler("a::on", payload, User::json_schema)]);
        let event = &contract["events"]["user"];
        let about = &contract["annotations"];
        let is_described = |schema: &Value, place: &str, field: &str, text: &str| {
            let pointers = about[place].as_object().unwrap().iter();
            let here = pointers.filter(|(_, annotation)| annotation["description"] == text);
            let mut found = here.filter_map(|(pointer, _)| schema.pointer(pointer));
            found.any(|schema| *schema == User::described()[field])
        };
        let place = "events.user";
        assert!(is_described(&event["reads"], place, "id", "Of the user."));
        assert!(is_described(
            &event["reads"],
            place,
            "name",
            "As it is shown."
        ));
        assert!(is_described(
            &event["writes"],
            place,
            "name",
            "As it is shown."
        ));
        let response = &event["response"]["both"];
        assert!(is_described(
            response,
            "responses.user",
            "name",
            "As it is shown."
        ));
    }

    impl User {
        /// Returns the schemas of the fields.
        fn described() -> Value {
            json!({
                "id": {"type": "integer", "format": "uint64", "minimum": 0},
                "name": {"type": "string"},
            })
        }
    }

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
