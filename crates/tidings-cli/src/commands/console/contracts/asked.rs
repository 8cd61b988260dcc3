//! Asks for the contracts that are not known yet, and keeps those that members run with.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use tidings::{Bus, Member};
use tokio::time::Instant;

use super::{Announced, Contracts};
use crate::commands::console::limits::{CONTRACT, CONTRACTS};
use crate::commands::schema::{by_contract, contract_of};
use crate::contract::Contract;

/// The number of contracts that are asked for at the same time.
const AT_ONCE: usize = 4;

/// The time after which one that is not known is asked for again.
const RETRY: Duration = Duration::from_secs(30);

/// The contracts that were asked for, by their hash.
#[derive(Default)]
pub(super) struct Known {
    told: HashMap<String, Told>,
    /// The hashes in the order in which contracts are shown.
    order: Vec<String>,
}

/// The contract, or why it is not known and since when.
type Told = Result<Arc<Contract>, (String, Instant)>;

/// Members with the same contract.
pub(super) struct Group {
    pub(super) hash: String,
    /// Sorted by name.
    pub(super) members: Vec<Member>,
    pub(super) contract: Result<Arc<Contract>, String>,
}

pub(super) struct Groups {
    /// Those whose first member started first come first.
    pub(super) shown: Vec<Group>,
    /// The number of contracts beyond the limit.
    pub(super) not_shown: usize,
}

impl Contracts {
    /// Returns the contracts of these members, and asks for those that are not known.
    pub(super) async fn groups(&self, announced: impl Iterator<Item = &Announced>) -> Groups {
        let hashes = announced.map(|it| (&it.member, it.hash.as_deref().ok()));
        let mut all: Vec<_> = by_contract(hashes).into_iter().collect();
        all.sort_by_key(|(hash, members)| (Reverse(members.len()), *hash));
        let not_shown = all.len().saturating_sub(CONTRACTS);
        all.truncate(CONTRACTS);
        all.sort_by_key(|(hash, members)| (members.iter().map(|it| it.started).min(), *hash));
        let mut unknown = all.clone();
        unknown.retain(|(hash, _)| self.known().is_unknown(hash));
        let unknown = unknown.into_iter().map(|(hash, members)| {
            let members = members.into_iter().cloned().collect();
            ask(self.bus.clone(), hash.to_owned(), members, self.timeout)
        });
        let unknown: Vec<_> = unknown.collect();
        let mut told = stream::iter(unknown).buffer_unordered(AT_ONCE);
        while let Some((hash, told)) = told.next().await {
            self.known().told.insert(hash, told);
        }
        let known = self.known();
        let shown = all.into_iter().map(|(hash, members)| {
            let mut members: Vec<_> = members.into_iter().cloned().collect();
            members.sort_by(|one, other| (&one.name, one.id).cmp(&(&other.name, other.id)));
            Group {
                hash: hash.to_owned(),
                members,
                contract: match known.told.get(hash) {
                    Some(Ok(contract)) => Ok(Arc::clone(contract)),
                    Some(Err((why, _))) => Err(why.clone()),
                    None => Err("no member has it any more".to_owned()),
                },
            }
        });
        Groups {
            shown: shown.collect(),
            not_shown,
        }
    }
}

impl Known {
    /// Forgets all contracts but these.
    pub(super) fn keep(&mut self, groups: &Groups) {
        self.order = groups.shown.iter().map(|it| it.hash.clone()).collect();
        self.told.retain(|hash, _| self.order.contains(hash));
    }

    pub(super) fn contract(&self, hash: &str) -> Option<Arc<Contract>> {
        self.told.get(hash)?.as_ref().ok().map(Arc::clone)
    }

    /// Returns all contracts that are known, by their hash, in the order of their groups.
    pub(super) fn contracts(&self) -> Vec<(String, Arc<Contract>)> {
        let known = self.order.iter();
        let known = known.filter_map(|hash| Some((hash.clone(), self.contract(hash)?)));
        known.collect()
    }

    fn is_unknown(&self, hash: &str) -> bool {
        match self.told.get(hash) {
            None => true,
            Some(Ok(_)) => false,
            Some(Err((_, at))) => at.elapsed() >= RETRY,
        }
    }
}

/// Asks members for their contract.
async fn ask(bus: Bus, hash: String, members: Vec<Member>, timeout: Duration) -> (String, Told) {
    let asked: Vec<_> = members.iter().collect();
    let read = contract_of(&bus, &hash, &asked, Instant::now() + timeout).await;
    let told = match read {
        Ok(read) if read.contract.size > CONTRACT => {
            let (size, most) = (read.contract.size >> 10, CONTRACT >> 10);
            Err(format!(
                "it has {size} KiB, and at most {most} KiB are shown"
            ))
        }
        Ok(read) => Ok(Arc::new(read.contract)),
        Err(reasons) => Err(reasons.join("; ")),
    };
    (hash, told.map_err(|why| (why, Instant::now())))
}
