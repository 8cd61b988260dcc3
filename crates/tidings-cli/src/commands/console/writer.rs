//! Changes values, maps and counters for a page.

use std::fmt;

use anyhow::Error;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tidings::{Shared, Snapshot};

use super::api::Failure;
use super::changes::{self, Made, Quoted};
use super::stored::{Store, invalid};
use crate::commands::map::{Entries, remove_entry};
use crate::commands::state::{overtaken, set_at};

/// A change of a shared value that is at this version. New values are JSON as a text, so that no browser
/// rounds their numbers.
#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum SharedChange {
    Set {
        name: String,
        version: u64,
        value: String,
    },
    Clear {
        name: String,
        version: u64,
    },
}

/// A change of an entry of a map.
#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum MapChange {
    Set {
        name: String,
        key: String,
        value: String,
    },
    Remove {
        name: String,
        key: String,
    },
}

/// A change of a counter. The number is a text, as no browser has all of them.
#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum CounterChange {
    Add { name: String, number: String },
    Reset { name: String },
}

impl fmt::Display for SharedChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Set {
                name,
                version,
                value,
            } => {
                let (name, bytes) = (Quoted(name), value.len());
                write!(f, "set {name} at version {version}, {bytes} bytes")
            }
            Self::Clear { name, version } => {
                write!(f, "remove {} at version {version}", Quoted(name))
            }
        }
    }
}

impl fmt::Display for MapChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Set { name, key, value } => {
                let (name, key, bytes) = (Quoted(name), Quoted(key), value.len());
                write!(f, "set {key} of {name}, {bytes} bytes")
            }
            Self::Remove { name, key } => {
                write!(f, "remove {} of {}", Quoted(key), Quoted(name))
            }
        }
    }
}

impl fmt::Display for CounterChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Add { name, number } => {
                write!(f, "add {} to {}", Quoted(number), Quoted(name))
            }
            Self::Reset { name } => write!(f, "reset {}", Quoted(name)),
        }
    }
}

impl Store {
    /// Changes a value, unless it is at another version by now.
    pub(super) async fn change_shared(&self, change: SharedChange) -> Result<Made, Failure> {
        let (name, version, new) = match change {
            SharedChange::Set {
                name,
                version,
                value,
            } => (name, version, Some(changes::json(&value)?)),
            SharedChange::Clear { name, version } => (name, version, None),
        };
        self.check_masks(&name)?;
        let shared = self.bus.shared::<Value>(&name).map_err(invalid)?;
        let made = match new {
            Some(new) => set_at(&shared, version, &new).await?.map(|written| Made {
                text: format!("now version {}", written.version()),
                answer: self.describe(&name, &written),
            }),
            None => clear_at(&shared, version).await?.map(|()| Made {
                text: "removed".to_owned(),
                answer: json!({ "name": name, "value": null, "is_set": false }),
            }),
        };
        made.map_err(|found| {
            let error = overtaken(&shared, &found, version);
            let current = self.describe(&name, &found);
            Failure::new(StatusCode::CONFLICT, error).with_current(current)
        })
    }

    /// Changes an entry of a map.
    pub(super) async fn change_map(&self, change: MapChange) -> Result<Made, Failure> {
        let (MapChange::Set { name, .. } | MapChange::Remove { name, .. }) = &change;
        self.check_masks(name)?;
        let map: Entries = self.bus.map(name).map_err(invalid)?;
        match &change {
            MapChange::Set { key, value, .. } => {
                let value = changes::json(value)?;
                map.set(key, &value).await.map_err(Error::new)?;
                Ok(Made {
                    text: "done".to_owned(),
                    answer: self.entry(name, key, &value),
                })
            }
            MapChange::Remove { key, .. } => {
                if !remove_entry(&map, key).await? {
                    let error = format!("the map has no key `{key}`");
                    return Err(Failure::new(StatusCode::NOT_FOUND, error));
                }
                Ok(Made {
                    text: "done".to_owned(),
                    answer: json!({ "key": key, "value": null }),
                })
            }
        }
    }

    /// Changes a counter, and answers with its new value.
    pub(super) async fn change_counter(&self, change: CounterChange) -> Result<Made, Failure> {
        let (CounterChange::Add { name, .. } | CounterChange::Reset { name }) = &change;
        let counter = self.bus.counter(name).map_err(invalid)?;
        let (value, text) = match &change {
            CounterChange::Add { number, .. } => {
                let number = number.parse::<i64>().map_err(|error| {
                    let error = format!("this cannot be added: {error}");
                    Failure::new(StatusCode::BAD_REQUEST, error)
                })?;
                let value = counter.add(number).await.map_err(Error::new)?;
                (value, format!("now {value}"))
            }
            CounterChange::Reset { .. } => {
                let was = counter.reset().await.map_err(Error::new)?;
                (0, format!("was {was}, now 0"))
            }
        };
        Ok(Made {
            text,
            answer: json!({ "name": name, "value": value }),
        })
    }
}

/// Removes the value if it is at this version, and returns the value that is there otherwise. A change
/// at the same moment is removed, too. Nothing is read after it: a removal that was made has not failed.
async fn clear_at(
    shared: &Shared<Value>,
    version: u64,
) -> anyhow::Result<Result<(), Snapshot<Value>>> {
    let now = shared.refresh().await?;
    if now.version() != version {
        return Ok(Err(now));
    }
    shared.clear().await?;
    Ok(Ok(()))
}
