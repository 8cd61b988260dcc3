//! What is said of a change of a shared value.

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny};

use crate::shared::registry::ChangeNotification;

/// It was written or taken away. A stranger may say no more than the name.
#[derive(Debug, Deserialize)]
pub(crate) struct ValueChanged {
    key: String,
    #[serde(default)]
    pub(crate) version: u64,
    pub(crate) nonce: Option<String>,
    /// The nonce of what was replaced.
    pub(crate) previous: Option<String>,
    /// The value was taken away on purpose.
    #[serde(default)]
    pub(crate) cleared: bool,
    /// The time to live of the value that it carries, in milliseconds.
    pub(crate) ttl: Option<u64>,
    /// Whether it carries the value, which only those can read who know its type.
    #[serde(default, rename = "value", deserialize_with = "is_there")]
    pub(crate) has_value: bool,
}

fn is_there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

impl ChangeNotification for ValueChanged {
    const EVENT: &'static str = "tidings.shared";
    const HEARERS: &'static str = "shared values";

    fn name(&self) -> &str {
        &self.key
    }
}
