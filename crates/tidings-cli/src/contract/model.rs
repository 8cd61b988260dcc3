//! `Contract`: the file `contract/events.json`.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// The version of the format that this program reads.
const VERSION: u64 = 1;

/// The parts of the file that its hash covers.
const HASHED: [&str; 5] = ["counters", "definitions", "events", "maps", "values"];

/// The keys of their entries that the hash leaves out.
const NOT_HASHED: [&str; 2] = ["handled_by", "since"];

/// The schemas of all that a program writes and reads.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Contract {
    pub(crate) events: BTreeMap<String, Event>,
    pub(crate) values: BTreeMap<String, Sides>,
    pub(crate) maps: BTreeMap<String, Sides>,
    pub(crate) counters: BTreeMap<String, Value>,
    pub(crate) definitions: BTreeMap<String, Sides>,
    /// Descriptions and defaults, by place and JSON pointer.
    pub(crate) annotations: BTreeMap<String, BTreeMap<String, Value>>,
    pub(crate) package: Package,
    pub(crate) hash: String,
    /// The number of bytes of the file.
    #[serde(skip)]
    pub(crate) size: usize,
    /// False if somebody has edited the file.
    #[serde(skip)]
    pub(crate) is_as_written: bool,
}

/// An event, and the response if it is a request.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Event {
    #[serde(flatten)]
    pub(crate) payload: Sides,
    pub(crate) response: Option<Sides>,
    /// Further names of fields that readers accept.
    pub(crate) alias: BTreeMap<String, Vec<String>>,
    pub(crate) handled_by: Vec<String>,
}

/// The schemas of what is written and what is read.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Sides {
    both: Option<Value>,
    writes: Option<Value>,
    reads: Option<Value>,
    /// True if there is no schema on purpose.
    pub(crate) opaque: bool,
    pub(crate) since: Option<String>,
}

/// The package that the contract is of.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Package {
    pub(crate) name: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) repository: Option<String>,
    pub(crate) license: Option<String>,
}

/// The reason why a text is not a contract.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotRead {
    /// It is not JSON, or has another form.
    Invalid(String),
    /// It was written by a newer version of tidings.
    Newer(u64),
}

/// The schemas of what processes write, or of what they read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Side {
    Writes,
    Reads,
}

impl Contract {
    pub(crate) fn parse(text: &str) -> Result<Self, NotRead> {
        let invalid = |error: serde_json::Error| NotRead::Invalid(error.to_string());
        let value: Value = serde_json::from_str(text).map_err(invalid)?;
        match value["tidings"].as_u64() {
            Some(VERSION) => {}
            Some(newer) if newer > VERSION => return Err(NotRead::Newer(newer)),
            _ => return Err(NotRead::Invalid("it has no `\"tidings\": 1`".to_owned())),
        }
        let hash = hash(&value);
        let contract: Self = serde_json::from_value(value).map_err(invalid)?;
        Ok(Self {
            is_as_written: contract.hash == hash,
            size: text.len(),
            ..contract
        })
    }

    /// Returns all places that have schemas: each as `events`, `responses`, `values` or `maps`, with its
    /// name.
    pub(crate) fn places(&self) -> impl Iterator<Item = (&'static str, &str, &Sides)> {
        let events = self.events.iter().flat_map(|(name, event)| {
            let response = event.response.iter();
            let response = response.map(|sides| ("responses", name.as_str(), sides));
            [("events", name.as_str(), &event.payload)]
                .into_iter()
                .chain(response)
        });
        let shared = [("values", &self.values), ("maps", &self.maps)].into_iter();
        events.chain(shared.flat_map(|(kind, all)| {
            all.iter()
                .map(move |(name, sides)| (kind, name.as_str(), sides))
        }))
    }

    /// Returns the source file of an event, if it is known.
    pub(crate) fn source_of(&self, event: &str) -> Option<&str> {
        let places = self.annotations.get(&format!("events.{event}"))?;
        places.get("")?.get("source")?.as_str()
    }

    /// Returns the definitions of a side, by name.
    pub(crate) fn definitions_of(&self, side: Side) -> BTreeMap<&str, &Value> {
        let definitions = self.definitions.iter();
        definitions
            .filter_map(|(name, sides)| Some((name.as_str(), sides.get(side)?)))
            .collect()
    }
}

impl Sides {
    /// Returns the sides of a place where the same is written and read.
    pub(super) fn of(schema: Value) -> Self {
        Self {
            both: Some(schema),
            ..Self::default()
        }
    }

    pub(crate) fn get(&self, side: Side) -> Option<&Value> {
        if self.opaque {
            return None;
        }
        let one = match side {
            Side::Writes => &self.writes,
            Side::Reads => &self.reads,
        };
        one.as_ref().or(self.both.as_ref())
    }

    /// Returns whether there is no schema.
    pub(crate) fn is_unknown(&self) -> bool {
        [Side::Writes, Side::Reads]
            .iter()
            .all(|side| self.get(*side).is_none())
    }
}

impl fmt::Display for NotRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(why) => write!(f, "it is not a contract: {why}"),
            Self::Newer(version) => write!(
                f,
                "it has format {version}, and this `tidings` reads format {VERSION}"
            ),
        }
    }
}

/// Returns the hash of what is written and read.
fn hash(contract: &Value) -> String {
    let mut hashed = json!({});
    for part in HASHED {
        let mut places = contract.get(part).cloned().unwrap_or_else(|| json!({}));
        let entries = places.as_object_mut().into_iter().flat_map(Map::values_mut);
        for entry in entries.filter_map(Value::as_object_mut) {
            entry.retain(|key, _| !NOT_HASHED.contains(&key.as_str()));
        }
        hashed[part] = places;
    }
    // A dependency may have switched the order of keys off.
    hashed.sort_all_objects();
    format!("{:016x}", fnv(hashed.to_string().as_bytes()))
}

/// FNV-1a with 64 bits.
pub(super) fn fnv(bytes: &[u8]) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(PRIME);
    bytes.iter().fold(OFFSET, step)
}

/// Returns the text of a contract with its hash. The library writes the file; this is for tests.
#[cfg(test)]
pub(crate) fn with_hash(mut contract: Value) -> String {
    contract["tidings"] = VERSION.into();
    contract["hash"] = hash(&contract).into();
    serde_json::to_string_pretty(&contract).expect("JSON can be written")
}
