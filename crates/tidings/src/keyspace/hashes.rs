//! Hashes that are kept in memory, in place of Redis.

use std::collections::HashMap;

use tokio::time::Instant;

/// The fields of one key.
#[derive(Debug, Default)]
pub(crate) struct Hash {
    fields: HashMap<String, Vec<u8>>,
    /// When it is gone by itself.
    pub(crate) expires: Option<Instant>,
}

impl Hash {
    pub(crate) fn get(&self, field: &str) -> Option<&[u8]> {
        self.fields.get(field).map(Vec::as_slice)
    }

    pub(crate) fn text(&self, field: &str) -> Option<String> {
        let bytes = self.get(field)?;
        Some(String::from_utf8_lossy(bytes).into_owned())
    }

    pub(crate) fn set(&mut self, field: &str, value: impl Into<Vec<u8>>) {
        self.fields.insert(field.to_owned(), value.into());
    }

    pub(crate) fn remove(&mut self, field: &str) {
        self.fields.remove(field);
    }
}
