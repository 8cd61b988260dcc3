//! Every shape of event compiles with strict lints, and where names of the prelude are shadowed.
#![deny(warnings, missing_docs, missing_debug_implementations, unreachable_pub)]
#![deny(unused_qualifications, rust_2018_idioms, single_use_lifetimes)]
#![forbid(unsafe_code)]

/// Shadows the prelude.
pub type Result = ();
/// Shadows the prelude.
pub type Option = ();
/// Shadows the prelude.
pub type Vec = ();
/// Shadows the prelude.
pub type String = u8;

/// A struct.
#[derive(Debug, serde::Serialize, serde::Deserialize, tidings::Event)]
pub struct Renamed {
    /// Equals a parameter of generated code.
    pub name: String,
}

/// An enum.
#[derive(Debug, tidings::Event)]
pub enum Account {
    /// Nested.
    Renamed(Renamed),
    /// Named.
    #[event("account.closed")]
    Closed(u8),
    /// With fields.
    Deleted {
        /// One.
        format: u8,
        /// Two.
        payload: u8,
        /// Three.
        r#type: u8,
    },
    /// A tuple.
    Moved(u8, u8),
    /// A unit.
    Reloaded,
    /// Deprecated.
    #[deprecated]
    Old {
        /// One.
        id: u8,
    },
    /// Others.
    #[event(other)]
    Other(tidings::Unknown),
}

/// A private enum that also derives serde's traits.
#[derive(serde::Serialize, serde::Deserialize, tidings::Event)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Both {
    #[serde(rename = "first", alias = "one")]
    First {
        id: u8,
    },
    Second,
}

#[test]
fn every_shape_of_event_compiles() {
    let both = [Both::First { id: 1 }, Both::Second];
    assert_eq!(both.len(), 2);
}

/// With a raw name.
#[derive(Debug, tidings::Event)]
#[event("raw")]
#[allow(non_camel_case_types, reason = "only such names have to be raw")]
pub enum r#enum {
    /// With fields.
    Fields {
        /// One.
        id: u8,
    },
}

/// With the options of a contract.
#[derive(Debug, serde::Serialize, serde::Deserialize, tidings::Event)]
#[event("described", since = "1.2", alias("name", "title"))]
pub struct Described {
    /// Its name.
    pub name: String,
}

/// With the options of a contract.
#[derive(Debug, tidings::Event)]
pub enum Optional {
    /// Default name.
    #[event(since = "1.2", opaque)]
    Opaque(u8, u8),
    /// Named, with functions of serde.
    #[event("optional.with", since = "1.2")]
    With {
        /// A list of its own.
        #[serde(with = "as_text")]
        number: u8,
    },
    /// Its form is known.
    Known {
        /// A list of its own.
        #[serde(with = "as_text")]
        #[schemars(with = "u8")]
        number: u8,
    },
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
mod as_text {
    pub(super) fn serialize<S: serde::Serializer>(number: &u8, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u8(*number)
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(from: D) -> Result<u8, D::Error> {
        serde::Deserialize::deserialize(from)
    }
}

/// A shared value.
#[tidings::shared("shape", since = "1.2", opaque)]
#[tidings::map("shapes")]
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub struct Shape {
    /// Its corners.
    pub corners: u8,
}

/// A shared number.
#[tidings::shared("limit")]
pub type Limit = u64;

tidings::counter!("shapes");
