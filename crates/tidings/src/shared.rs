//! Values that all processes share: written once, seen everywhere.

mod care;
mod error;
pub(crate) mod keeper;
pub(crate) mod map;

pub use error::{LoadError, ShareError, StoreError};
pub use map::{Caching, EntryWatch, Latest, LoadOrError, MapChange, MapWatch, SharedMap};
