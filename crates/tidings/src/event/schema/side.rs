//! The schemas of one side: of all that is written, or of all that is read.

use std::collections::BTreeMap;

use schemars::Schema;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::transform::RemoveRefSiblings;
use serde_json::Value;

use super::normal::{self, Annotations};

/// Returns the schema of one type, for the side that the generator is set to.
pub(crate) type Describe = fn(&mut SchemaGenerator) -> Schema;

const REFERENCE: &str = "#/definitions/";

/// Keywords of the types that have a definition of their own: structs, and enums.
const STRUCTURED: [&str; 7] = [
    "allOf",
    "anyOf",
    "const",
    "enum",
    "oneOf",
    "patternProperties",
    "properties",
];

/// Generates the schemas of one side.
pub(super) struct Side {
    generator: SchemaGenerator,
    /// The definitions so far that are replaced by their schema, such as that of a newtype.
    plain: BTreeMap<String, Option<Value>>,
}

impl Side {
    pub(super) fn new(settings: SchemaSettings) -> Self {
        // A description beside a `$ref` would make this transform wrap it. So it runs once the
        // annotations are out.
        let settings = settings.with(|settings| {
            let transforms = &mut settings.transforms;
            transforms.retain(|transform| !transform.is::<RemoveRefSiblings>());
        });
        Self {
            generator: settings.into_generator(),
            plain: BTreeMap::new(),
        }
    }

    /// Returns the schema of a type.
    pub(super) fn schema(&mut self, describe: Describe, annotations: &mut Annotations) -> Value {
        let schema = describe(&mut self.generator).to_value();
        let mut schema = self.normal(schema, annotations);
        self.replace_plain(&mut schema);
        schema
    }

    /// Passes each definition that is still referred to.
    pub(super) fn definitions(mut self, mut add: impl FnMut(String, Value, Annotations)) {
        let definitions = self.generator.definitions().clone();
        for (name, schema) in definitions {
            if self.plain(&name).is_some() {
                continue;
            }
            let mut annotations = Annotations::new();
            let mut schema = self.normal(schema, &mut annotations);
            self.replace_plain(&mut schema);
            add(name, schema, annotations);
        }
    }

    fn normal(&mut self, mut schema: Value, annotations: &mut Annotations) -> Value {
        if let Ok(schema) = <&mut Schema>::try_from(&mut schema) {
            for transform in self.generator.transforms_mut() {
                transform.transform(schema);
            }
        }
        normal::normalize(schema, annotations)
    }

    /// Replaces references to plain definitions. Whether such a type is a definition depends on its
    /// documentation, and a process that writes a newtype writes what it holds.
    fn replace_plain(&mut self, schema: &mut Value) {
        if let Some(plain) = referred(schema).and_then(|name| self.plain(name)) {
            *schema = plain;
            return;
        }
        match schema {
            Value::Object(parts) => parts.values_mut().for_each(|part| self.replace_plain(part)),
            Value::Array(parts) => parts.iter_mut().for_each(|part| self.replace_plain(part)),
            _ => {}
        }
    }

    /// Returns the schema of a definition if it is plain: no struct, no enum, and not within itself.
    fn plain(&mut self, name: &str) -> Option<Value> {
        if let Some(known) = self.plain.get(name) {
            return known.clone();
        }
        // Until it is known: a definition that refers to itself stays one.
        self.plain.insert(name.to_owned(), None);
        let definition = self.generator.definitions().get(name)?.clone();
        let mut schema = self.normal(definition, &mut Annotations::new());
        let is_structured = |key: &&str| schema.get(key).is_some();
        if STRUCTURED.iter().any(is_structured) {
            return None;
        }
        self.replace_plain(&mut schema);
        if refers_to(&schema, name) {
            return None;
        }
        self.plain.insert(name.to_owned(), Some(schema.clone()));
        Some(schema)
    }
}

/// Returns the name of the definition that a schema refers to.
fn referred(schema: &Value) -> Option<&str> {
    schema.get("$ref")?.as_str()?.strip_prefix(REFERENCE)
}

fn refers_to(schema: &Value, name: &str) -> bool {
    let mut parts: Box<dyn Iterator<Item = &Value>> = match schema {
        Value::Object(parts) => Box::new(parts.values()),
        Value::Array(parts) => Box::new(parts.iter()),
        _ => return false,
    };
    referred(schema) == Some(name) || parts.any(|part| refers_to(part, name))
}

#[cfg(test)]
#[allow(dead_code, reason = "the types here are only described")]
mod tests {
    use schemars::JsonSchema;
    use serde_json::json;

    use super::*;

    #[derive(JsonSchema)]
    struct Order {
        id: OrderId,
        lines: Lines,
        tree: Tree,
    }

    #[derive(JsonSchema)]
    struct OrderId(u64);

    /// Documented.
    #[derive(JsonSchema)]
    #[serde(transparent)]
    struct Lines(Vec<Line>);

    #[derive(JsonSchema)]
    struct Line {
        order: OrderId,
    }

    #[derive(JsonSchema)]
    struct Tree(Vec<Tree>);

    #[test]
    fn a_newtype_is_what_it_holds() {
        let mut side = Side::new(SchemaSettings::draft07());
        let schema = side.schema(Order::json_schema, &mut Annotations::new());
        let id = json!({"type": "integer", "format": "uint64", "minimum": 0});
        let expected = json!({
            "id": id,
            "lines": {"type": "array", "items": {"$ref": "#/definitions/Line"}},
            "tree": {"$ref": "#/definitions/Tree"},
        });
        assert_eq!(schema["properties"], expected);
        let mut definitions = BTreeMap::new();
        side.definitions(|name, schema, _| drop(definitions.insert(name, schema)));
        let names: Vec<&str> = definitions.keys().map(String::as_str).collect();
        assert_eq!(names, ["Line", "Tree"]);
        assert_eq!(definitions["Line"]["properties"]["order"], id);
    }
}
