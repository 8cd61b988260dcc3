//! Every shape of event compiles where warnings are errors, documentation is asked for, and the
//! prelude's names mean something else.
#![deny(warnings, missing_docs, missing_debug_implementations, unreachable_pub)]
#![deny(unused_qualifications, rust_2018_idioms, single_use_lifetimes)]
#![forbid(unsafe_code)]

/// A name that the macros must not stumble over.
pub type Result = ();
/// Another.
pub type Option = ();
/// Another.
pub type Vec = ();
/// Another.
pub type String = u8;

/// A struct.
#[derive(Debug, serde::Serialize, serde::Deserialize, tidings::Event)]
pub struct Renamed {
    /// The parameters of what is generated are called so, too.
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
    /// Nothing.
    Reloaded,
    /// Nobody uses it any more.
    #[deprecated]
    Old {
        /// One.
        id: u8,
    },
    /// The rest.
    #[event(other)]
    Other(tidings::Unknown),
}

/// An enum that is private, with serde's derive beside ours.
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
