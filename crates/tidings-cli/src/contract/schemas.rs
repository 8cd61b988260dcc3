//! All schemas of one side of a contract, and the alternatives of each.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use crate::contract::budget::Budget;
use crate::contract::model::Side;
use crate::contract::shape::{
    ALIASES, Alternative, List, Names, Object, Rest, Shape, Text, constraints, integer,
    shapes_of_values, types_of,
};

/// A schema, or several that hold at the same time.
pub(super) type Id = usize;

/// The schema that allows each value.
pub(super) const ANYTHING: Id = 0;

static NULL: LazyLock<Value> = LazyLock::new(|| json!({ "type": "null" }));

/// The longest chain of references that leads to no shape.
const REFERENCES: usize = 64;

/// The most schemas that contain each other without a shape between them.
const DEPTH: usize = 256;

/// The schemas of one side: what processes write, or what they read.
#[derive(Debug)]
pub(super) struct Schemas<'a> {
    side: Side,
    definitions: BTreeMap<&'a str, &'a Value>,
    joined: Vec<Vec<&'a Value>>,
    ids: HashMap<Vec<*const Value>, Id>,
    alternatives: HashMap<Id, Rc<[Alternative]>>,
    /// Those of definitions, by name.
    expanded: HashMap<&'a str, Rc<[Alternative]>>,
    /// The definitions that are being expanded, and whether each of them refers to itself.
    open: Vec<(&'a str, bool)>,
    pub(super) budget: Budget,
}

impl<'a> Schemas<'a> {
    pub(super) fn new(
        side: Side,
        definitions: BTreeMap<&'a str, &'a Value>,
        budget: &Budget,
    ) -> Self {
        Self {
            side,
            definitions,
            joined: vec![Vec::new()],
            ids: HashMap::from([(Vec::new(), ANYTHING)]),
            alternatives: HashMap::new(),
            expanded: HashMap::new(),
            open: Vec::new(),
            budget: budget.clone(),
        }
    }

    pub(super) fn id(&mut self, schema: &'a Value) -> Id {
        self.join(vec![schema])
    }

    /// Returns the schema of what is allowed by all of these.
    fn join(&mut self, mut schemas: Vec<&'a Value>) -> Id {
        if !self.budget.spend(1 + schemas.len()) {
            return ANYTHING;
        }
        for schema in &mut schemas {
            *schema = self.target(schema);
        }
        schemas.retain(|schema| **schema != Value::Bool(true));
        let mut key: Vec<*const Value> = schemas.iter().map(|it| std::ptr::from_ref(*it)).collect();
        key.sort_unstable();
        key.dedup();
        if let Some(id) = self.ids.get(&key) {
            return *id;
        }
        let id = self.joined.len();
        self.joined.push(schemas);
        self.ids.insert(key, id);
        id
    }

    /// Returns the definition that a schema only refers to, so that it is compared once.
    fn target(&self, schema: &'a Value) -> &'a Value {
        let mut target = schema;
        for _ in 0..REFERENCES {
            let only = target.as_object().filter(|it| it.len() == 1);
            let reference = only.and_then(|it| it.get("$ref")?.as_str());
            match reference.and_then(|reference| self.definition(reference)) {
                Some((_, definition)) => target = definition,
                None => return target,
            }
        }
        schema
    }

    fn definition(&self, reference: &str) -> Option<(&'a str, &'a Value)> {
        let name = reference.strip_prefix("#/definitions/")?;
        let name = name.replace("~1", "/").replace("~0", "~");
        let (name, definition) = self.definitions.get_key_value(name.as_str())?;
        Some((*name, *definition))
    }

    pub(super) fn meet_ids(&mut self, one: Id, other: Id) -> Id {
        let both = [&self.joined[one][..], &self.joined[other][..]].concat();
        self.join(both)
    }

    pub(super) fn alternatives(&mut self, id: Id) -> Rc<[Alternative]> {
        if let Some(known) = self.alternatives.get(&id) {
            return Rc::clone(known);
        }
        let mut all = vec![Alternative::of(Shape::Anything)];
        for schema in self.joined[id].clone() {
            let of_schema = self.expand(schema, 0);
            all = self.meet_all(all, of_schema);
        }
        let mut all = with_joined_texts(all);
        if self.side == Side::Reads {
            self.expect_no_content(&mut all);
        }
        let all: Rc<[Alternative]> = all.into();
        self.alternatives.insert(id, Rc::clone(&all));
        all
    }

    /// Variants without fields may be those of `#[serde(tag, content)]`, which read no content but null,
    /// although their schema does not say so.
    fn expect_no_content(&mut self, all: &mut [Alternative]) {
        let null = self.id(&NULL);
        let variants = all.iter().filter_map(Alternative::as_variant);
        let contents: BTreeSet<_> = variants.flat_map(Object::contents).cloned().collect();
        let content = contents.first().filter(|_| contents.len() == 1);
        if content.is_none() && !contents.is_empty() {
            return;
        }
        for alternative in all.iter_mut() {
            let Shape::Object(object) = &mut alternative.shape else {
                continue;
            };
            if object.tag.is_none() || object.fields.len() > 1 || object.rest != Rest::Unnamed {
                continue;
            }
            match content {
                Some(content) => drop(object.fields.insert(content.clone(), null)),
                None => object.rest = Rest::Each(null),
            }
        }
    }

    fn expand(&mut self, schema: &'a Value, depth: usize) -> Vec<Alternative> {
        // Nothing is known of what is nested too deep, so the comparison ends.
        let steps = if depth < DEPTH { 2 } else { usize::MAX };
        if !self.budget.spend(steps) {
            return Vec::new();
        }
        let schema = match schema {
            Value::Object(schema) => schema,
            Value::Bool(false) => return Vec::new(),
            _ => return vec![Alternative::of(Shape::Anything)],
        };
        let mut all = self.own(schema);
        if let Some(Value::String(reference)) = schema.get("$ref") {
            let referenced = self.referenced(reference, depth);
            all = self.meet_all(all, referenced);
        }
        for part in list_of(schema, "allOf") {
            let part = self.expand(part, depth + 1);
            all = self.meet_all(all, part);
        }
        for keyword in ["anyOf", "oneOf"] {
            if let Some(Value::Array(branches)) = schema.get(keyword) {
                let branches = branches.iter();
                let any: Vec<_> = branches.flat_map(|it| self.expand(it, depth + 1)).collect();
                all = self.meet_all(all, any);
            }
        }
        all
    }

    fn referenced(&mut self, reference: &str, depth: usize) -> Vec<Alternative> {
        // Nothing is known about it: only the same reference has the same shape.
        let unknown = || {
            let mut unknown = Alternative::of(Shape::Anything);
            let constraint = ("$ref".to_owned(), Rc::new(Value::from(reference)));
            unknown.constraints.extend([constraint]);
            vec![unknown]
        };
        let Some((name, definition)) = self.definition(reference) else {
            return unknown();
        };
        if let Some(known) = self.expanded.get(name) {
            return known.to_vec();
        }
        if let Some(index) = self.open.iter().position(|(open, _)| *open == name) {
            // A definition allows nothing more because it refers to itself.
            for (_, is_recursive) in &mut self.open[index..] {
                *is_recursive = true;
            }
            return Vec::new();
        }
        self.open.push((name, false));
        let mut all = self.expand(definition, depth + 1);
        let is_recursive = self.open.pop().is_some_and(|(_, it)| it);
        // Within another definition that it refers to, it lacks what that one adds.
        let is_complete = !is_recursive || self.open.iter().all(|(_, it)| !it);
        if is_recursive && is_complete && all.is_empty() {
            all = unknown();
        }
        if is_complete {
            self.expanded.insert(name, all.clone().into());
        }
        all
    }

    /// Returns the shapes of a schema without what it refers to.
    fn own(&mut self, schema: &'a Map<String, Value>) -> Vec<Alternative> {
        let constraints = constraints(schema);
        let shapes = match (schema.get("const"), schema.get("enum"), schema.get("type")) {
            (Some(value), ..) => shapes_of_values(std::slice::from_ref(value)),
            (None, Some(Value::Array(values)), _) => shapes_of_values(values),
            (_, _, Some(types)) => types_of(types)
                .into_iter()
                .map(|kind| self.shape(kind, schema))
                .collect(),
            _ if ["properties", "required", "additionalProperties"]
                .iter()
                .any(|keyword| schema.contains_key(*keyword)) =>
            {
                vec![self.shape("object", schema)]
            }
            _ => vec![Shape::Anything],
        };
        // Nested constants have no shape, and are only compared.
        let is_nested = constraints.contains_key("const") || constraints.contains_key("enum");
        let shapes = if is_nested {
            vec![Shape::Anything]
        } else {
            shapes
        };
        let shapes = shapes.into_iter().map(|shape| Alternative {
            shape,
            constraints: constraints.clone(),
        });
        shapes.collect()
    }

    fn shape(&mut self, kind: &str, schema: &'a Map<String, Value>) -> Shape {
        let bound = |keyword, other| schema.get(keyword).and_then(Value::as_u64).unwrap_or(other);
        match kind {
            "null" => Shape::Null,
            "boolean" => Shape::Bool(None),
            "integer" => integer(schema),
            "number" => Shape::Number {
                is_single: schema.get("format").and_then(Value::as_str) == Some("float"),
            },
            "string" => Shape::Text(Text {
                values: None,
                min: bound("minLength", 0),
                max: bound("maxLength", u64::MAX),
            }),
            "array" => {
                let (first, rest) = self.items(schema);
                let (min, max) = (bound("minItems", 0), bound("maxItems", u64::MAX));
                Shape::List(List {
                    first,
                    rest,
                    min,
                    max,
                })
            }
            "object" => Shape::Object(self.object(schema)),
            _ => Shape::Anything,
        }
    }

    fn items(&mut self, schema: &'a Map<String, Value>) -> (Vec<Id>, Id) {
        match schema.get("items") {
            Some(Value::Array(first)) => {
                let first = first.iter().map(|item| self.id(item)).collect();
                let rest = schema.get("additionalItems");
                (first, rest.map_or(ANYTHING, |rest| self.id(rest)))
            }
            Some(each) => (Vec::new(), self.id(each)),
            None => (Vec::new(), ANYTHING),
        }
    }

    fn object(&mut self, schema: &'a Map<String, Value>) -> Object {
        let mut named = |keyword| -> BTreeMap<String, Id> {
            let named = schema.get(keyword).and_then(Value::as_object);
            let named = named.into_iter().flatten();
            named
                .map(|(name, it)| (name.clone(), self.id(it)))
                .collect()
        };
        let (mut fields, patterns) = (named("properties"), named("patternProperties"));
        let required = list_of(schema, "required").iter();
        let required = required.filter_map(Value::as_str);
        let mut required: BTreeSet<_> = required.map(str::to_owned).collect();
        let aliases = aliases_of(schema, &mut fields, &mut required);
        let rest = match schema.get("additionalProperties") {
            None => Rest::Unnamed,
            Some(Value::Bool(false)) => Rest::Denied,
            Some(each) => Rest::Each(self.id(each)),
        };
        Object {
            fields,
            required,
            aliases,
            patterns,
            rest,
            tag: tag_of(schema),
        }
    }
}

fn list_of<'a>(schema: &'a Map<String, Value>, keyword: &str) -> &'a [Value] {
    schema
        .get(keyword)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// Takes the fields with several names out of those that are required, and adds their names.
fn aliases_of(
    schema: &Map<String, Value>,
    fields: &mut BTreeMap<String, Id>,
    required: &mut BTreeSet<String>,
) -> Vec<Names> {
    let mut aliases = Vec::new();
    let of_fields = schema.get(ALIASES).and_then(Value::as_object);
    for (field, others) in of_fields.into_iter().flatten() {
        let Some(id) = fields.get(field).copied() else {
            continue;
        };
        let others = others.as_array().into_iter().flatten();
        let others = others.filter_map(Value::as_str).map(str::to_owned);
        let others: BTreeSet<_> = others.filter(|name| !fields.contains_key(name)).collect();
        fields.extend(others.iter().map(|name| (name.clone(), id)));
        aliases.push(Names {
            is_required: required.remove(field),
            field: field.clone(),
            others,
        });
    }
    aliases
}

/// Returns the required field that has one text only, and the text.
fn tag_of(schema: &Map<String, Value>) -> Option<(String, String)> {
    let fields = schema.get("properties")?.as_object()?;
    let mut required = list_of(schema, "required").iter().filter_map(Value::as_str);
    required.find_map(|field| {
        let field_schema = fields.get(field)?;
        let one = match field_schema["enum"].as_array().map(Vec::as_slice) {
            Some([one]) => one,
            _ => &field_schema["const"],
        };
        Some((field.to_owned(), one.as_str()?.to_owned()))
    })
}

/// Joins the texts of an enum, which may be in one schema or in one for each variant.
fn with_joined_texts(all: Vec<Alternative>) -> Vec<Alternative> {
    let mut values = BTreeSet::new();
    let mut others = Vec::new();
    for alternative in all {
        match alternative.shape {
            Shape::Text(Text {
                values: Some(some), ..
            }) if alternative.constraints.is_empty() => values.extend(some),
            _ => others.push(alternative),
        }
    }
    if !values.is_empty() {
        let values = Some(values);
        others.push(Alternative::of(Shape::Text(Text {
            values,
            ..Text::ALL
        })));
    }
    others
}
