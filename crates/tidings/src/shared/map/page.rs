//! A page of the entries of a map.

use std::sync::Arc;

/// Some of the entries of a map, from [`SharedMap::page`](crate::SharedMap::page).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MapPage<K, V> {
    /// The entries, in no order. A page may have none and not be the last.
    pub entries: Vec<(K, Arc<V>)>,
    /// The cursor of the next page; `None` if this is the last one.
    pub next: Option<u64>,
}
