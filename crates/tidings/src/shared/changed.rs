//! The change notification of a shared value.

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny};

use crate::shared::registry::ChangeNotification;

/// A shared value was written or cleared. A foreign program may send the name alone.
#[derive(Debug, Deserialize)]
pub(crate) struct ValueChanged {
    key: String,
    #[serde(default)]
    pub(crate) version: u64,
    pub(crate) nonce: Option<String>,
    /// The nonce of the value before this change.
    pub(crate) previous: Option<String>,
    #[serde(default)]
    pub(crate) cleared: bool,
    /// The time to live of the inlined value, in milliseconds.
    pub(crate) ttl: Option<u64>,
    /// The value is inlined. Only a replica knows its type and decodes it.
    #[serde(default, rename = "value", deserialize_with = "is_there")]
    pub(crate) has_value: bool,
}

fn is_there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

impl ChangeNotification for ValueChanged {
    const EVENT: &'static str = "tidings.shared";
    const HANDLER: &'static str = "shared values";

    fn name(&self) -> &str {
        &self.key
    }
}
