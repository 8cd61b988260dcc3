//! What a bus shares under which name, and what it hears of that.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny};

use super::error::ShareError;
use crate::failure::Failure;
use crate::notices::{Listener, Notice};
use crate::reports::Reports;

/// The event that says that a shared value was written or taken away.
pub(crate) const ANNOUNCED: &str = "tidings.shared";

/// What such an event says. A stranger may say no more than the name.
#[derive(Debug, Deserialize)]
pub(crate) struct Announced {
    pub(crate) key: String,
    #[serde(default)]
    pub(crate) version: u64,
    pub(crate) nonce: Option<String>,
    /// The nonce of what was replaced.
    pub(crate) was: Option<String>,
    /// Whether it carries the value, which only those can read who know its type.
    #[serde(default, rename = "value", deserialize_with = "is_there")]
    pub(crate) has_value: bool,
}

fn is_there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

/// A shared value of any type.
pub(crate) trait Announceable: Any + Send + Sync {
    fn hear(&self, announced: &Announced, notice: &Notice<'_>);

    fn type_name(&self) -> &'static str;

    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

/// The shared values of one bus, for as long as somebody has them.
pub(crate) struct Known {
    by_name: Mutex<HashMap<String, Weak<dyn Announceable>>>,
    reports: Arc<Reports>,
}

impl Known {
    pub(crate) fn new(reports: Arc<Reports>) -> Self {
        let by_name = Mutex::default();
        Self { by_name, reports }
    }

    /// The value of this name, made if it is not there.
    pub(crate) fn get_or_insert<V: Announceable>(
        &self,
        name: &str,
        type_name: &'static str,
        make: impl FnOnce() -> Arc<V>,
    ) -> Result<Arc<V>, ShareError> {
        let mut by_name = self.lock();
        if let Some(known) = by_name.get(name).and_then(Weak::upgrade) {
            let first = known.type_name();
            return known.as_any().downcast().map_err(|_| ShareError::Conflict {
                shared: name.to_owned(),
                first,
                second: type_name,
            });
        }
        by_name.retain(|_, known| known.strong_count() > 0);
        let made = make();
        let known: Arc<dyn Announceable> = Arc::clone(&made) as _;
        by_name.insert(name.to_owned(), Arc::downgrade(&known));
        Ok(made)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Weak<dyn Announceable>>> {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener for Known {
    fn hear(&self, notice: &Notice<'_>) {
        let announced: Announced = match notice.payload.decode() {
            Ok(announced) => announced,
            Err(source) => {
                return self.reports.failure(Failure::Payload {
                    event: ANNOUNCED.to_owned(),
                    handler: "shared values".into(),
                    from: notice.from,
                    number: None,
                    source,
                });
            }
        };
        let known = self.lock().get(&announced.key).and_then(Weak::upgrade);
        if let Some(known) = known {
            known.hear(&announced, notice);
        }
    }
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.lock().keys()).finish()
    }
}
