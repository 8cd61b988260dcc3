//! JSON schemas of the types that a program declares: what a process writes, and what it reads.

mod normal;
mod side;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::marker::PhantomData;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

pub(crate) use normal::{Annotations, add as add_annotations};
pub(crate) use side::Describe;
use side::Side;

/// An event, a shared value, a map or a counter, as the code declares it.
#[derive(Clone, Debug)]
pub struct Declared {
    /// The name on the wire.
    pub name: Cow<'static, str>,
    /// The path of the type.
    pub type_name: &'static str,
    /// The source file, as `file!()` returns it.
    pub source: &'static str,
    /// The documentation, for a type whose schema has none.
    pub docs: &'static str,
    /// The version that added it.
    pub since: Option<&'static str>,
    /// True if it has no schema on purpose.
    pub is_opaque: bool,
    /// Paths of fields, and further names that readers accept for them.
    pub aliases: &'static [(&'static str, &'static str)],
    /// The schema, if the type has one.
    pub schema: Option<Describe>,
}

/// A function marked `#[tidings::on]`.
#[derive(Debug)]
pub struct DeclaredHandler {
    /// The path of the function, with its crate.
    pub path: &'static str,
    /// The names of the events that it handles.
    pub names: Vec<Cow<'static, str>>,
    /// Its payload, if it handles an event by name.
    pub payload: Option<Declared>,
    /// Its response.
    pub response: DeclaredResponse,
}

/// The response of a handler to a request.
#[derive(Clone, Copy, Debug)]
pub enum DeclaredResponse {
    /// The handler returns no value.
    Nothing,
    /// The type of the response has no schema.
    Unknown,
    /// The schema of the response.
    Known(Describe),
}

/// All declarations of a program, in the order in which the linker collected them.
#[derive(Debug, Default)]
pub struct Declarations {
    pub(crate) events: Vec<Declared>,
    pub(crate) handlers: Vec<DeclaredHandler>,
    pub(crate) values: Vec<Declared>,
    pub(crate) maps: Vec<Declared>,
    pub(crate) counters: Vec<Declared>,
}

impl Declarations {
    /// Declares an event.
    pub fn event(&mut self, event: Declared) {
        self.events.push(event);
    }

    /// Declares a handler.
    pub fn handler(&mut self, handler: DeclaredHandler) {
        self.handlers.push(handler);
    }

    /// Declares a shared value.
    pub fn value(&mut self, value: Declared) {
        self.values.push(value);
    }

    /// Declares a shared map.
    pub fn map(&mut self, map: Declared) {
        self.maps.push(map);
    }

    /// Declares a counter.
    pub fn counter(&mut self, counter: Declared) {
        self.counters.push(counter);
    }

    /// Declares an event type by the names and the types of its payloads alone.
    pub(crate) fn names(
        &mut self,
        names: impl IntoIterator<Item = (Cow<'static, str>, &'static str)>,
    ) {
        let events = names.into_iter().map(|(name, type_name)| Declared {
            name,
            type_name,
            source: "",
            docs: "",
            since: None,
            is_opaque: false,
            aliases: &[],
            schema: None,
        });
        self.events.extend(events);
    }
}

/// Finds the schema of a type, if it has one. Method resolution tries [`KnownSchema`] first, because
/// it needs one more reference.
#[derive(Debug)]
pub struct SchemaProbe<T>(PhantomData<fn() -> T>);

impl<T> SchemaProbe<T> {
    /// Creates a probe.
    pub const NEW: Self = Self(PhantomData);
}

/// Implemented for types with a schema.
pub trait KnownSchema {
    /// Returns the function that describes the type.
    fn schema(&self) -> Option<Describe>;
}

impl<T: JsonSchema> KnownSchema for &SchemaProbe<T> {
    fn schema(&self) -> Option<Describe> {
        Some(T::json_schema)
    }
}

/// Implemented for all types.
pub trait NoSchema {
    /// Returns that the type has no schema.
    fn schema(&self) -> Option<Describe> {
        None
    }
}

impl<T> NoSchema for SchemaProbe<T> {}

/// Implemented for the return types of handlers with a response that has a schema.
pub trait KnownResponse {
    /// Returns the response.
    fn response(&self) -> DeclaredResponse;
}

impl<A: JsonSchema, E> KnownResponse for &&SchemaProbe<Result<A, E>> {
    fn response(&self) -> DeclaredResponse {
        DeclaredResponse::Known(A::json_schema)
    }
}

/// Implemented for the return types of handlers with a response.
pub trait UnknownResponse {
    /// Returns that the response has no schema.
    fn response(&self) -> DeclaredResponse {
        DeclaredResponse::Unknown
    }
}

impl<A, E> UnknownResponse for &SchemaProbe<Result<A, E>> {}

/// Implemented for all types.
pub trait NoResponse {
    /// Returns that there is no response.
    fn response(&self) -> DeclaredResponse {
        DeclaredResponse::Nothing
    }
}

impl<T> NoResponse for SchemaProbe<T> {}

/// The schema of what a process writes, and of what it reads.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sides {
    pub(crate) writes: Value,
    pub(crate) reads: Value,
}

impl Sides {
    /// Adds the sides to an object: once if they are equal.
    pub(crate) fn add_to(self, object: &mut Map<String, Value>) {
        if self.writes == self.reads {
            object.insert("both".to_owned(), self.reads);
        } else {
            object.insert("reads".to_owned(), self.reads);
            object.insert("writes".to_owned(), self.writes);
        }
    }
}

/// Generates the schemas of all types of one contract. Their common definitions have one name each.
pub(crate) struct Schemas {
    writes: Side,
    reads: Side,
}

impl Schemas {
    pub(crate) fn new() -> Self {
        let settings = SchemaSettings::draft07;
        Self {
            writes: Side::new(settings().for_serialize()),
            reads: Side::new(settings().for_deserialize()),
        }
    }

    /// Returns both schemas of a type, and adds their annotations to `annotations`.
    pub(crate) fn sides(&mut self, describe: Describe, annotations: &mut Annotations) -> Sides {
        let reads = self.reads.schema(describe, annotations);
        let writes = self.writes.schema(describe, annotations);
        Sides { writes, reads }
    }

    /// Returns the types that the schemas refer to, each with its annotations.
    pub(crate) fn definitions(self) -> BTreeMap<String, (Map<String, Value>, Annotations)> {
        let mut definitions = BTreeMap::<_, (Map<_, _>, Annotations)>::new();
        for (key, side) in [("reads", self.reads), ("writes", self.writes)] {
            side.definitions(|name, schema, about| {
                let (sides, annotations) = definitions.entry(name).or_default();
                sides.insert(key.to_owned(), schema);
                normal::add(annotations, about);
            });
        }
        for (sides, _) in definitions.values_mut() {
            if sides.get("reads") == sides.get("writes")
                && let Some(both) = sides.remove("reads")
            {
                sides.clear();
                sides.insert("both".to_owned(), both);
            }
        }
        definitions
    }
}
