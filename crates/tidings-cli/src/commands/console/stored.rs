//! Shared values, maps and counters, as they are in Redis.

use std::fmt::Display;
use std::sync::Arc;
use std::time::SystemTime;

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tidings::admin::{Admin, StoredKind};
use tidings::{Bus, LoadError, MapPage, Snapshot, report};

use super::api::Failure;
use super::limits::PREVIEW;
use super::mask::Secrecy;
use super::row::is_small;
use crate::commands::map::Entries;
use crate::time::milliseconds_of;

/// The maximum number of entries that are shown of one page of a map. Redis returns about 500, or all
/// of a map whose values are small and that has a large `hash-max-listpack-entries`.
const PAGE: usize = 1_000;

/// The maximum number of pages that are read to find one with entries.
const PAGES: usize = 20;

/// The maximum length of the values on a page, in bytes.
const PAGE_BYTES: u64 = 4 << 20;

/// The text in the place of a value that is not shown.
const HIDDEN: &str = "payloads are hidden";

pub(super) struct Store {
    pub(super) bus: Bus,
    admin: Admin,
    secrecy: Secrecy,
}

/// The query of a map.
#[derive(Debug, Deserialize)]
pub(super) struct MapQuery {
    name: String,
    /// The cursor of the page; a text, as no browser has all numbers.
    #[serde(default)]
    cursor: String,
    key: Option<String>,
}

impl Store {
    pub(super) fn new(bus: Bus, admin: Admin, secrecy: Secrecy) -> Self {
        Self {
            bus,
            admin,
            secrecy,
        }
    }

    /// Lists the names.
    pub(super) async fn names(&self) -> Result<Value, Failure> {
        let stored = self.admin.stored().await.map_err(unavailable)?;
        let names = stored.names.iter().filter_map(|stored| {
            let kind = match stored.kind {
                StoredKind::Shared => "shared",
                StoredKind::Map => "map",
                StoredKind::Counter => "counter",
                _ => return None,
            };
            Some(json!({ "kind": kind, "name": stored.name }))
        });
        Ok(json!({
            "at": milliseconds_of(SystemTime::now()),
            "keys": names.collect::<Vec<_>>(),
            "is_complete": stored.is_complete,
            "error": null,
        }))
    }

    pub(super) async fn shared(&self, name: &str) -> Result<Value, Failure> {
        let shared = self.bus.shared::<Value>(name).map_err(invalid)?;
        let snapshot = shared.refresh().await;
        let snapshot = snapshot.map_err(|error| self.not_read(name, &error))?;
        Ok(self.describe(name, &snapshot))
    }

    pub(super) fn describe(&self, name: &str, snapshot: &Snapshot<Value>) -> Value {
        let mut described = self.value(name, snapshot.value().map(|value| &**value));
        described["name"] = name.into();
        described["is_set"] = snapshot.value().is_some().into();
        described["version"] = snapshot.version().into();
        described["is_stale"] = snapshot.stale_since().is_some().into();
        if let Some(problem) = snapshot.problem() {
            described["error"] = self.secrecy.words(name, problem).into();
        }
        described
    }

    pub(super) async fn counter(&self, name: &str) -> Result<Value, Failure> {
        let counter = self.bus.counter(name).map_err(invalid)?;
        if self.secrecy.hides_payloads {
            return Ok(json!({ "name": name, "value": null, "error": HIDDEN }));
        }
        let value = counter.get().await.map_err(unavailable)?;
        Ok(json!({ "name": name, "value": value }))
    }

    fn not_read(&self, name: &str, error: &LoadError) -> Failure {
        let error = self.secrecy.words(name, error);
        Failure::new(StatusCode::SERVICE_UNAVAILABLE, error)
    }

    /// Returns a page of a map, or one entry.
    pub(super) async fn map(&self, query: MapQuery) -> Result<Value, Failure> {
        let name = query.name;
        let map: Entries = self.bus.map(&name).map_err(invalid)?;
        let count = map.len().await.map_err(unavailable)?;
        let mut described = json!({
            "name": name, "count": count, "entries": [], "next": null, "error": null,
            "is_masked": self.secrecy.masks.of(&name).is_any(),
        });
        if let Some(key) = query.key {
            let value = map.get(&key).await;
            let value = value.map_err(|error| self.not_read(&name, &error))?;
            let entries = value.map(|value| self.entry(&name, &key, &value));
            described["entries"] = entries.into_iter().collect();
            return Ok(described);
        }
        let cursor = match &*query.cursor {
            "" => 0,
            cursor => cursor.parse().map_err(invalid)?,
        };
        let mut page = page(&map, cursor).await?;
        described["next"] = json!(page.next.map(|next| next.to_string()));
        if page.entries.len() > PAGE {
            let more = page.entries.len() - PAGE;
            described["error"] = format!("{more} entries of this page are not shown").into();
        }
        page.entries.sort_by(|one, other| one.0.cmp(&other.0));
        page.entries.truncate(PAGE);
        described["entries"] = self.entries(&name, &page.entries);
        Ok(described)
    }

    fn entries(&self, map: &str, entries: &[(String, Arc<Value>)]) -> Value {
        let mut bytes = 0;
        let entries = entries.iter().map(|(key, value)| {
            if bytes > PAGE_BYTES {
                let error = "not shown: the page is full (search for the key)";
                return json!({ "key": key, "value": null, "is_cut": true, "error": error });
            }
            let entry = self.entry(map, key, value);
            bytes += entry["bytes"].as_u64().unwrap_or_default();
            entry
        });
        entries.collect()
    }

    pub(super) fn entry(&self, map: &str, key: &str, value: &Value) -> Value {
        let mut entry = self.value(map, Some(value));
        entry["key"] = key.into();
        entry
    }

    /// Refuses to change what is masked: a page would write the masks.
    pub(super) fn check_masks(&self, name: &str) -> Result<(), Failure> {
        if !self.secrecy.masks.of(name).is_any() {
            return Ok(());
        }
        let error = "fields of this value are masked: it cannot be changed here";
        Err(Failure::new(StatusCode::FORBIDDEN, error))
    }

    /// Returns a value with the masks of this name, unless it is hidden or too large.
    fn value(&self, name: &str, value: Option<&Value>) -> Value {
        let mut described = json!({ "value": null, "is_cut": false, "error": null });
        let Some(value) = value else {
            return described;
        };
        let bytes = value.to_string().len();
        described["bytes"] = bytes.into();
        if self.secrecy.hides_payloads {
            described["error"] = HIDDEN.into();
        } else if bytes > PREVIEW || !is_small(value) {
            described["is_cut"] = true.into();
            described["error"] = format!("too large to show: {bytes} bytes as JSON").into();
        } else {
            let (mut value, masked) = (value.clone(), self.secrecy.masks.of(name));
            masked.replace_in(&mut value);
            described["value"] = value;
            described["is_masked"] = masked.is_any().into();
        }
        described
    }
}

/// Reads pages until one has entries, or many had none.
async fn page(map: &Entries, mut cursor: u64) -> Result<MapPage<String, Value>, Failure> {
    let mut pages = 1;
    loop {
        let page = map.page(cursor).await.map_err(unavailable)?;
        match page.next {
            Some(next) if page.entries.is_empty() && pages < PAGES => cursor = next,
            _ => return Ok(page),
        }
        pages += 1;
    }
}

pub(super) fn invalid(error: impl Display) -> Failure {
    Failure::new(StatusCode::BAD_REQUEST, error)
}

fn unavailable(error: impl std::error::Error + 'static) -> Failure {
    Failure::new(StatusCode::SERVICE_UNAVAILABLE, report(&error))
}
