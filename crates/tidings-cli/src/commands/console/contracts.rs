//! The contracts that run in the fleet: each is asked for once, while a page is open, and compared with
//! the others.

mod asked;
mod breaks;
mod documents;
mod payload;
mod place;

use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, SystemTime};

use axum::http::StatusCode;
use serde_json::{Value, json};
use tidings::{Bus, Member, NodeId};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::task::spawn_blocking;

use self::asked::{Group, Groups, Known};
use self::breaks::Breaks;
pub(super) use self::documents::Form;
pub(super) use self::place::PlaceQuery;
use super::api::Failure;
use super::lock::lock;
use crate::commands::schema::names_of;
use crate::contract::Contract;
use crate::inspect::Inspected;
use crate::time::milliseconds_of;

/// The most members of one contract, or without one, that are named.
const NAMED: usize = 8;

/// The most names that a page lists, and the most bytes of each.
const PLACES: usize = 2_000;
const NAME: usize = 256;

/// The contracts of the members, as they reported them.
pub(super) struct Contracts {
    bus: Bus,
    namespace: String,
    timeout: Duration,
    known: std::sync::Mutex<Known>,
    /// Locked while it asks and compares, so that other pages wait for the same answers.
    breaks: Mutex<Breaks>,
    /// Held by the one place or document that is made now.
    turn: Arc<Mutex<()>>,
}

/// A member, and the hash of its contract, or why none is known.
#[derive(Clone, Debug)]
pub(super) struct Announced {
    member: Member,
    hash: Result<String, String>,
    /// True if it has a contract or not, and did not say so.
    has_failed: bool,
    /// The names of the events that it handles.
    handled: Vec<String>,
}

impl Announced {
    /// Takes what a member says now, or what it announced before.
    pub(super) fn by(inspected: &Inspected, before: Option<&Self>) -> Self {
        let Some(inspection) = inspected.inspection() else {
            return before.cloned().unwrap_or_else(|| Self {
                member: inspected.member.clone(),
                hash: Err(inspected.why_not().unwrap_or_default()),
                has_failed: inspected.has_failed(),
                handled: Vec::new(),
            });
        };
        let hash = match &inspection.contract {
            None => Err("built without the feature `schema`, or just started".to_owned()),
            Some(hash) if is_hash(hash) => Ok(hash.clone()),
            Some(_) => Err("what it announces is not the hash of a contract".to_owned()),
        };
        let handlers = inspection.handlers.iter();
        Self {
            member: inspected.member.clone(),
            has_failed: inspection.contract.is_some() && hash.is_err(),
            hash,
            handled: handlers.flat_map(|it| it.events.clone()).collect(),
        }
    }

    /// Returns it by its member if its contract is known, for when the member does not respond.
    pub(super) fn known(&self) -> Option<(NodeId, Self)> {
        self.hash.is_ok().then(|| (self.member.id, self.clone()))
    }

    fn handles(&self, event: &str) -> bool {
        self.handled.iter().any(|it| it == event)
    }
}

fn is_hash(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|it| it.is_ascii_hexdigit())
}

impl Contracts {
    pub(super) fn new(bus: Bus, namespace: &str, timeout: Duration) -> Self {
        Self {
            bus,
            namespace: namespace.to_owned(),
            timeout,
            known: std::sync::Mutex::default(),
            breaks: Mutex::default(),
            turn: Arc::default(),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        lock(&self.known)
    }

    /// Waits until no other place or document is made: each may take a lot of memory.
    async fn turn(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.turn).lock_owned().await
    }

    /// Returns the contract with this hash, if a member has sent it.
    fn contract(&self, hash: &str) -> Result<Arc<Contract>, Failure> {
        self.known().contract(hash).ok_or_else(|| {
            let error = "no member runs with this contract any more";
            Failure::new(StatusCode::NOT_FOUND, error)
        })
    }

    /// Returns the contracts, the names in them, and the breaks between them.
    pub(super) async fn overview(&self, announced: &[Announced]) -> Result<Value, Failure> {
        let mut breaks_so_far = self.breaks.lock().await;
        let groups = self.groups(announced.iter()).await;
        self.known().keep(&groups);
        let mut breaks = std::mem::take(&mut *breaks_so_far);
        let compared = spawn_blocking(move || {
            let found = breaks.between(&groups);
            let places = places(&groups);
            (breaks, groups, found, places)
        });
        let (breaks, groups, found, places) = compared.await.map_err(panicked)?;
        *breaks_so_far = breaks;
        drop(breaks_so_far);
        let has_unknown = groups.shown.iter().any(|it| it.contract.is_err());
        let has_silent = announced.iter().any(|it| it.has_failed);
        let is_partial =
            has_unknown || groups.not_shown > 0 || !found.not_compared.is_empty() || has_silent;
        let without = announced.iter().filter_map(|it| {
            let why = it.hash.as_ref().err()?;
            Some(json!({ "name": it.member.name, "why": why }))
        });
        let without: Vec<_> = without.collect();
        Ok(json!({
            "at": milliseconds_of(SystemTime::now()),
            "members": announced.len(),
            "contracts": groups.shown.iter().map(Group::describe).collect::<Vec<_>>(),
            "contracts_not_shown": groups.not_shown,
            "without": without.iter().take(NAMED).collect::<Vec<_>>(),
            "without_count": without.len(),
            "places": places.listed,
            "places_not_shown": places.not_shown,
            "breaks": found.listed,
            "breaks_not_shown": found.breaks_not_shown,
            "warnings_not_shown": found.warnings_not_shown,
            "not_compared": found.not_compared,
            "is_partial": is_partial,
            "has_silent": has_silent,
        }))
    }
}

impl Group {
    fn describe(&self) -> Value {
        let members: Vec<_> = self.members.iter().take(NAMED).collect();
        let contract = self.contract.as_ref();
        json!({
            "hash": self.hash,
            "members": members.iter().map(|it| names_of(&[it])).collect::<Vec<_>>(),
            "count": self.members.len(),
            "bytes": contract.ok().map(|it| it.size),
            "error": contract.err(),
        })
    }
}

/// The names of events, values, maps and counters.
#[derive(Default)]
struct Places {
    listed: Vec<Value>,
    not_shown: usize,
}

/// Lists the names in all contracts. `contracts` of each are the indexes of those that have it.
fn places(groups: &Groups) -> Places {
    let mut all = BTreeMap::<(&str, &str), (Vec<usize>, bool)>::new();
    for (index, group) in groups.shown.iter().enumerate() {
        let Ok(contract) = &group.contract else {
            continue;
        };
        for (kind, name, has_schema) in names(contract) {
            let (contracts, is_known) = all.entry((kind, name)).or_default();
            contracts.push(index);
            *is_known |= has_schema;
        }
    }
    let (shown, others): (Vec<_>, Vec<_>) = all
        .into_iter()
        .partition(|((_, name), _)| name.len() <= NAME);
    let not_shown = others.len() + shown.len().saturating_sub(PLACES);
    let listed = shown.into_iter().take(PLACES);
    let listed = listed.map(|((kind, name), (contracts, has_schema))| {
        json!({ "kind": kind, "name": name, "contracts": contracts, "has_schema": has_schema })
    });
    Places {
        listed: listed.collect(),
        not_shown,
    }
}

/// Returns the kinds and names in a contract, and whether each has a schema.
fn names(contract: &Contract) -> impl Iterator<Item = (&'static str, &str, bool)> {
    let events = contract.events.iter().map(|(name, event)| {
        let kind = if event.response.is_some() {
            "request"
        } else {
            "event"
        };
        (kind, name.as_str(), !event.payload.is_unknown())
    });
    let values = contract.values.iter();
    let values = values.map(|(name, it)| ("value", name.as_str(), !it.is_unknown()));
    let maps = contract.maps.iter();
    let maps = maps.map(|(name, it)| ("map", name.as_str(), !it.is_unknown()));
    let counters = contract.counters.keys();
    let counters = counters.map(|name| ("counter", name.as_str(), true));
    events.chain(values).chain(maps).chain(counters)
}

pub(super) fn panicked(_: tokio::task::JoinError) -> Failure {
    let error = "the console panicked at this request";
    Failure::new(StatusCode::INTERNAL_SERVER_ERROR, error)
}

/// Returns a text with at most this many characters.
pub(super) fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::Outcome;

    #[tokio::test]
    async fn a_member_that_does_not_respond_has_the_contract_and_the_handlers_of_before() {
        let bus = Bus::builder("memory:announced").name("job-1");
        let bus = bus.on("user.renamed", async |_: Value| {});
        let bus = bus.start().await.unwrap();
        let member = bus.members().await.unwrap().remove(0);
        let mut inspection = bus.inspection();
        inspection.contract = Some("0123456789abcdef".to_owned());
        let with = |outcome| Inspected {
            member: member.clone(),
            outcome,
        };
        let said = Announced::by(&with(Outcome::Responded(Box::new(inspection))), None);
        let silent = with(Outcome::Silent(Duration::from_secs(5)));
        let (_, before) = said.known().unwrap();
        let now = Announced::by(&silent, Some(&before));
        assert!(now.handles("user.renamed") && now.hash == said.hash);
        let unknown = Announced::by(&silent, None);
        assert!(!unknown.handles("user.renamed") && unknown.known().is_none());
    }
}
