//! Duplicate keys: of flattened maps and structs next to tags and fields.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::places::{Flat, Flat2, Named, at_edges, everywhere};
use super::table::{Expected, SAME, Table};

const REJECTED: [Expected; 2] = [Expected::Rejected("duplicate key"); 2];

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
enum Tagged {
    Map(BTreeMap<String, u8>),
    Values(HashMap<String, Value>),
    Numbers(BTreeMap<u8, u8>),
    Struct(HasType),
    Same(Same),
    Other(Other),
    Flat(Flat<BTreeMap<String, u8>>),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct HasType {
    r#type: u8,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
enum Same {
    Struct { inner: u8 },
    Map(BTreeMap<String, u8>),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "other")]
enum Other {
    Struct { inner: u8 },
    Map(BTreeMap<String, u8>),
    Same(Box<Same>),
    Beside(HasOther),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct HasOther {
    inner: u8,
    other: u8,
}

fn map<V>(key: &str, value: V) -> BTreeMap<String, V> {
    BTreeMap::from([(key.to_owned(), value)])
}

#[test]
fn a_key_equal_to_a_tag_is_rejected() {
    let mut table = Table::default();
    let all = &mut table;
    everywhere(all, SAME, "another key", &Tagged::Map(map("a", 7)));
    everywhere(all, REJECTED, "the tag", &Tagged::Map(map("type", 7)));
    let values = HashMap::from([("type".to_owned(), json!("Values"))]);
    at_edges(all, REJECTED, "the tag", &Tagged::Values(values));
    let numbers = Tagged::Numbers(BTreeMap::from([(7, 7), (8, 8)]));
    everywhere(all, SAME, "numbers", &numbers);
    at_edges(
        all,
        REJECTED,
        "a field",
        &Tagged::Struct(HasType { r#type: 7 }),
    );
    at_edges(
        all,
        REJECTED,
        "the same tag",
        &Tagged::Same(Same::Struct { inner: 7 }),
    );
    at_edges(
        all,
        SAME,
        "another tag",
        &Tagged::Other(Other::Struct { inner: 7 }),
    );
    for key in ["type", "other"] {
        let map = Tagged::Other(Other::Map(map(key, 7)));
        at_edges(all, REJECTED, "one of two tags", &map);
    }
    let around = Tagged::Other(Other::Same(Box::new(Same::Map(map("a", 7)))));
    at_edges(all, REJECTED, "the tag around the other", &around);
    let beside = Tagged::Other(Other::Beside(HasOther { inner: 7, other: 8 }));
    at_edges(all, REJECTED, "a field that is the second tag", &beside);
    table.check();
}

#[test]
fn a_flattened_key_equal_to_a_field_is_rejected() {
    let flat = |key| Flat {
        id: 7,
        rest: map(key, 7),
    };
    let mut table = Table::default();
    let all = &mut table;
    everywhere(all, SAME, "another key", &flat("a"));
    everywhere(all, REJECTED, "a field", &flat("id"));
    let twice = Flat {
        id: 7,
        rest: Flat2 {
            other: 8,
            rest: map("id", json!([1])),
        },
    };
    at_edges(all, REJECTED, "flattened twice", &twice);
    let fields = Flat {
        id: 7,
        rest: Flat {
            id: 8,
            rest: Named { inner: 9 },
        },
    };
    at_edges(all, REJECTED, "a field that is a field", &fields);
    at_edges(all, SAME, "a tag and a field", &Tagged::Flat(flat("a")));
    for key in ["type", "id"] {
        let flat = Tagged::Flat(flat(key));
        at_edges(all, REJECTED, "a tag or a field", &flat);
    }
    table.check();
}

#[test]
fn a_nested_value_may_repeat_a_key() {
    let within = Tagged::Values(HashMap::from([(
        "a".to_owned(),
        json!({"type": {"type": 7}}),
    )]));
    let mut table = Table::default();
    everywhere(&mut table, SAME, "within", &within);
    let flat = Flat {
        id: 7,
        rest: map(
            "a",
            Flat {
                id: 8,
                rest: map("b", map("id", 9)),
            },
        ),
    };
    everywhere(&mut table, SAME, "within", &flat);
    table.check();
}

#[test]
fn the_error_escapes_the_key() {
    #[derive(Serialize)]
    struct Both {
        #[serde(flatten)]
        one: BTreeMap<String, u8>,
        #[serde(flatten)]
        other: BTreeMap<String, u8>,
    }
    let both = Both {
        one: map("a\u{1b}\u{202e}", 1),
        other: map("a\u{1b}\u{202e}", 2),
    };
    let encoded = tidings_codec::Format::Json.encode(&both, &mut Vec::new());
    let error = encoded.unwrap_err();
    let reason = std::error::Error::source(&error).unwrap().to_string();
    assert!(reason.contains("duplicate key"), "{reason}");
    assert!(!reason.contains(['\u{1b}', '\u{202e}']), "{reason}");
}
