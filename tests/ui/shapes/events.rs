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
