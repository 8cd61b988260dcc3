//! Values that all processes share: written once, seen everywhere.

mod error;
mod keeper;

pub use error::{LoadError, ShareError, StoreError};
