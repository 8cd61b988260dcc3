//! The contract of a program: its events, handlers and shared state, collected from the whole binary.

mod combined;
mod entry;

use std::borrow::Cow;
use std::fmt;
use std::sync::OnceLock;

use serde_json::{Map, Value, json};
use tokio::runtime::Handle;

use crate::error::contract::ContractError;
use crate::event::Names;
use crate::event::schema::{Annotations, Declarations, Schemas};
use crate::handler::key::EventPayload;
use crate::observe::inspection::PublishedContract;

/// The version of the format.
const FORMAT: u32 = 1;

/// A function that declares something. The derive and the attributes generate these.
pub struct Collect(fn(&mut Declarations));

inventory::collect!(Collect);

impl Collect {
    /// Collects what a function declares.
    pub const fn new(declare: fn(&mut Declarations)) -> Self {
        Self(declare)
    }
}

impl fmt::Debug for Collect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Collect")
    }
}

/// Returns the names of the events that a payload can be.
pub fn event_names<P: EventPayload>() -> Vec<Cow<'static, str>> {
    let names = Names::of::<P::Event>().list.into_iter();
    names.map(|name| name.name).collect()
}

/// Returns the contract of this program: the events that it may send, the handlers marked
/// `#[tidings::on]` with their responses, and its shared state, each with the JSON schema of what a
/// process writes and of what it reads.
///
/// It has the types of every linked crate. What is only named in a call, such as
/// `bus.send_to_all("cache.clear", …)`, is not in it.
///
/// ```standalone_crate
/// use schemars::JsonSchema;
/// use tidings::prelude::*;
///
/// #[derive(Serialize, Deserialize, JsonSchema, Event)]
/// #[event("user.renamed", since = "1.2")]
/// struct UserRenamed { id: u64, name: String }
///
/// #[tidings::on("stock.count")]
/// async fn count(fruit: String) -> Result<usize, HandlerError> {
///     Ok(fruit.len())
/// }
///
/// # fn main() -> Result<(), HandlerError> {
/// let contract = tidings::contract()?;
/// let file: serde_json::Value = serde_json::from_str(&contract.to_string())?;
/// assert_eq!(file["events"]["user.renamed"]["since"], "1.2");
/// assert_eq!(file["events"]["stock.count"]["response"]["both"]["type"], "integer");
/// println!("{}", contract.hash());
/// # Ok(()) }
/// ```
///
/// # Errors
///
/// When two types with different schemas have one name.
pub fn contract() -> Result<Contract, ContractError> {
    let mut declarations = Declarations::default();
    for Collect(declare) in inventory::iter::<Collect>() {
        declare(&mut declarations);
    }
    Contract::new(declarations)
}

/// The contract that the buses of this program send. It is the same until the program ends.
static PUBLISHED: OnceLock<Option<PublishedContract>> = OnceLock::new();

/// Collects the contract on a thread of its own, the first time: a large one takes longer than a task
/// may block.
pub(crate) fn collect_on(runtime: &Handle) {
    if PUBLISHED.get().is_none() {
        runtime.spawn_blocking(|| PUBLISHED.get_or_init(publish));
    }
}

/// Returns the contract of this program, if it has one and it is collected.
pub(crate) fn published() -> Option<&'static PublishedContract> {
    PUBLISHED.get()?.as_ref()
}

fn publish() -> Option<PublishedContract> {
    match contract() {
        Ok(contract) => contract.published(),
        Err(error) => {
            tracing::warn!(error = %error, "cannot collect the contract of this program");
            None
        }
    }
}

/// The contract of a program, from [`contract`]. Its `Display` is the text of the file
/// `contract/events.json`: sorted, and the same on each machine.
#[derive(Clone, Debug)]
pub struct Contract {
    /// The parts that are compared: the events and shared state, and their definitions.
    parts: Map<String, Value>,
    annotations: Map<String, Value>,
    hash: String,
}

impl Contract {
    fn new(declarations: Declarations) -> Result<Self, ContractError> {
        let mut schemas = Schemas::new();
        let mut annotations = Map::new();
        let mut parts = Map::new();
        for (kind, entries) in entry::group(declarations) {
            let mut part = Map::new();
            for (name, entry) in entries {
                let described = entry.describe(kind, &name, &mut schemas)?;
                for (of, about) in [
                    (kind.part(), described.annotations),
                    ("responses", described.annotations_of_response),
                ] {
                    add_annotations(&mut annotations, &format!("{of}.{name}"), about);
                }
                part.insert(name, Value::Object(described.entry));
            }
            parts.insert(kind.part().to_owned(), Value::Object(part));
        }
        let mut definitions = Map::new();
        for (name, (sides, about)) in schemas.definitions() {
            add_annotations(&mut annotations, &format!("definitions.{name}"), about);
            definitions.insert(name, Value::Object(sides));
        }
        parts.insert("definitions".to_owned(), Value::Object(definitions));
        let mut parts = Value::Object(parts);
        // A dependency may have switched the order of keys off.
        parts.sort_all_objects();
        let Value::Object(parts) = parts else {
            unreachable!("it was an object above")
        };
        let hash = hash(&parts);
        Ok(Self {
            parts,
            annotations,
            hash,
        })
    }

    /// Returns a hash of what is written and read. It is the same for two contracts with equal schemas,
    /// whatever their comments, handlers and `since` are. [`Inspection`](crate::Inspection) has it, too.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Returns what buses send of it: no annotations, on one line.
    fn published(&self) -> Option<PublishedContract> {
        let places = ["events", "values", "maps", "counters"];
        let is_empty = |part: &&str| self.parts[*part].as_object().is_none_or(Map::is_empty);
        if places.iter().all(is_empty) {
            return None;
        }
        Some(PublishedContract {
            hash: self.hash.clone(),
            text: self.file(self.parts.clone()).to_string(),
        })
    }

    /// Returns the parts as the content of a file.
    fn file(&self, mut parts: Map<String, Value>) -> Value {
        // The events are listed even if there are none.
        let is_empty = |value: &Value| value.as_object().is_some_and(Map::is_empty);
        parts.retain(|part, value| part == "events" || !is_empty(value));
        parts.insert("hash".to_owned(), json!(self.hash));
        parts.insert("tidings".to_owned(), json!(FORMAT));
        let mut file = Value::Object(parts);
        file.sort_all_objects();
        file
    }
}

impl fmt::Display for Contract {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = self.parts.clone();
        parts.insert("annotations".to_owned(), self.annotations.clone().into());
        writeln!(f, "{:#}", self.file(parts))
    }
}

fn add_annotations(all: &mut Map<String, Value>, place: &str, of_place: Annotations) {
    let of_place: Map<_, _> = of_place
        .into_iter()
        .filter(|(_, annotations)| !annotations.is_empty())
        .map(|(pointer, annotations)| (pointer, Value::Object(annotations)))
        .collect();
    if !of_place.is_empty() {
        all.insert(place.to_owned(), Value::Object(of_place));
    }
}

/// Returns the FNV-1a hash of the parts as compact JSON, without what changes no schema.
fn hash(parts: &Map<String, Value>) -> String {
    let mut parts = parts.clone();
    let places = parts.values_mut().filter_map(Value::as_object_mut);
    for place in places
        .flat_map(|part| part.values_mut())
        .filter_map(Value::as_object_mut)
    {
        place.retain(|key, _| key != "handled_by" && key != "since");
    }
    let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    let hash = Value::Object(parts)
        .to_string()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, fold);
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use schemars::JsonSchema;

    use super::*;
    use crate::event::schema::{Declared, Describe};

    fn event(name: String, type_name: &'static str, schema: Describe) -> Declared {
        Declared {
            name: name.into(),
            type_name,
            source: "src/events.rs",
            docs: "",
            since: None,
            is_opaque: false,
            aliases: &[],
            schema: Some(schema),
        }
    }

    fn contract(events: impl IntoIterator<Item = Declared>) -> Result<Contract, ContractError> {
        let mut declarations = Declarations::default();
        events
            .into_iter()
            .for_each(|event| declarations.event(event));
        Contract::new(declarations)
    }

    #[test]
    fn two_types_of_one_name_and_with_different_schemas_are_an_error_that_names_both() {
        let first = event("tick".to_owned(), "a::Tick", u64::json_schema);
        let same = event("tick".to_owned(), "b::Tick", u64::json_schema);
        let other = event("tick".to_owned(), "c::Tick", String::json_schema);
        assert!(contract([same.clone(), first.clone()]).is_ok());
        let error = contract([other, same, first]).unwrap_err().to_string();
        let expected = "the event `tick` is declared by two types with different schemas, `a::Tick` \
                        and `c::Tick`: give one of them another name";
        assert_eq!(error, expected);
    }

    #[test]
    fn the_hash_is_that_of_what_is_written_and_read() {
        let tick = || event("tick".to_owned(), "a::Tick", u64::json_schema);
        let hash = |event: Declared| contract([event]).unwrap().hash().to_owned();
        let described = Declared {
            docs: "A tick of the clock.",
            since: Some("1.2"),
            source: "src/clock.rs",
            type_name: "b::Tick",
            ..tick()
        };
        assert_eq!(hash(described), hash(tick()));
        let narrowed = Declared {
            schema: Some(u32::json_schema),
            ..tick()
        };
        assert_ne!(hash(narrowed), hash(tick()));
        // The command line computes it, too.
        let json = r#"{"counters":{},"definitions":{},"events":{},"maps":{},"values":{}}"#;
        let fold = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        let expected = json.bytes().fold(0xcbf2_9ce4_8422_2325, fold);
        assert_eq!(contract([]).unwrap().hash(), format!("{expected:016x}"));
    }
}
