//! The error of collecting a contract.

use std::fmt;

use crate::error::debug_as_report;

debug_as_report! { ContractError }

/// An error of [`contract`](crate::contract()).
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum ContractError {
    /// Two types with different schemas have one name.
    #[error(
        "the {kind} `{name}` is declared by two types with different schemas, `{first}` and \
         `{second}`: give one of them another name"
    )]
    Conflict {
        /// The kind of thing that has the name: `event`, `shared value` or `map`.
        kind: &'static str,
        /// The name.
        name: String,
        /// The type whose path is first in the alphabet.
        first: &'static str,
        /// The other type.
        second: &'static str,
    },
}
