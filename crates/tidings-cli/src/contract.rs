//! The contract of a program: what its events, values and responses look like, and whether another
//! version can read them.
//!
//! Nothing here reads a file. A schema becomes [`shape`]s, [`obstacle`] compares two of them,
//! [`inclusion`] compares all parts of two schemas, and [`check`] two contracts in both directions.

mod alias;
mod allow;
mod asyncapi;
mod budget;
mod changes;
mod check;
mod explain;
mod export;
mod inclusion;
mod json_schema;
mod lint;
mod meet;
mod model;
mod obstacle;
#[cfg(feature = "console")]
mod outline;
mod payload;
mod renamed;
mod rule;
mod schemas;
mod shape;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use self::allow::{Day, Exception, Exceptions};
pub(crate) use self::asyncapi::asyncapi;
pub(crate) use self::budget::TooComplex;
pub(crate) use self::check::{Asked, Finding, Level, Report, check};
pub(crate) use self::json_schema::JsonSchemas;
pub(crate) use self::lint::{Remark, lint};
#[cfg(test)]
pub(crate) use self::model::with_hash;
pub(crate) use self::model::{Contract, NotRead};
#[cfg(feature = "console")]
pub(crate) use self::model::{Event, Side, Sides};
#[cfg(feature = "console")]
pub(crate) use self::outline::outline;
pub(crate) use self::payload::Reader;
pub(crate) use self::rule::{Direction, Rule};
