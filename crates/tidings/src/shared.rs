//! Values that all processes share: written once, seen everywhere.

mod care;
mod error;
pub(crate) mod keeper;

pub use error::{LoadError, ShareError, StoreError};
