//! The warnings about settings of the server that endanger the journal.

use std::sync::Arc;
use std::time::Duration;

use tidings_codec::{Escaped, NodeId};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::journal::options::Journal;
use crate::journal::state::JournalState;
use crate::keyspace::journal::JournalStore;
use crate::keyspace::journal::settings::ServerSettings;
use crate::namespace::Namespace;
use crate::observe::health::TopologyKind;
use crate::task::stage::{Stage, until_leaving};

/// The maximum wait for the settings.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The default of `proto-max-bulk-len`: a larger key cannot be moved with its slot.
const MOVABLE: u64 = 512 << 20;

/// The task that looks at the settings of each server that the bus connects to, and logs those that
/// endanger the journal. It only checks the options of the journal itself if the user may not read
/// them.
pub(crate) struct SettingsCheck {
    pub(crate) node: NodeId,
    pub(crate) namespace: Namespace,
    pub(crate) address: String,
    pub(crate) topology: TopologyKind,
    pub(crate) state: Arc<JournalState>,
    pub(crate) stage: watch::Receiver<Stage>,
}

impl SettingsCheck {
    pub(crate) async fn run(self) {
        until_leaving(self.stage.clone(), self.warn()).await;
    }

    async fn warn(&self) {
        let mut stores = self.state.store.subscribe();
        let mut logged = Vec::new();
        loop {
            let store = stores.borrow_and_update().clone();
            if let Some(store) = store {
                self.check(store, &mut logged).await;
            }
            if stores.changed().await.is_err() {
                return;
            }
        }
    }

    /// Logs what endangers the journal on a server and was not logged for the last one whose settings
    /// could be read.
    async fn check(&self, store: Arc<dyn JournalStore>, logged: &mut Vec<String>) {
        let settings = match timeout(TIMEOUT, store.settings()).await {
            Ok(Ok(settings)) => Some(settings),
            unknown => {
                tracing::debug!(node = %self.node, ?unknown, "cannot read the settings of redis");
                None
            }
        };
        let is_known = settings.is_some();
        let settings = settings.unwrap_or_default();
        let dangers = dangers(&settings, &self.state.options, self.topology);
        for danger in dangers.iter().filter(|danger| !logged.contains(danger)) {
            tracing::warn!(
                node = %self.node,
                namespace = self.namespace.name(),
                address = self.address,
                "{danger}"
            );
        }
        if is_known || logged.is_empty() {
            *logged = dangers;
        }
    }
}

/// Returns what endangers a journal on a server with these settings, each with a cure.
fn dangers(settings: &ServerSettings, options: &Journal, topology: TopologyKind) -> Vec<String> {
    [
        eviction(settings),
        memory(settings, options.max_bytes),
        restart(settings, options.durable.as_deref()),
        slot_move(options.max_bytes, topology),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The keys of a journal do not expire, so the other policies spare them.
fn eviction(settings: &ServerSettings) -> Option<String> {
    let kind = settings.maxmemory_policy.as_ref()?.strip_prefix("allkeys-");
    let kind = Escaped(kind?);
    let is_limited = settings.maxmemory.is_none_or(|bytes| bytes > 0);
    is_limited.then(|| {
        format!(
            "redis may evict the journal, because its `maxmemory-policy` is `allkeys-{kind}` \
             (run `CONFIG SET maxmemory-policy volatile-{kind}`)"
        )
    })
}

fn memory(settings: &ServerSettings, max_bytes: u64) -> Option<String> {
    let limit = settings.maxmemory.filter(|bytes| *bytes > 0);
    if let Some(limit) = limit {
        return (max_bytes > limit / 2).then(|| {
            format!(
                "the journal may use more than half of the memory of redis: `max_bytes` is \
                 {max_bytes}, and `maxmemory` is {limit} (run `CONFIG SET maxmemory {}`, or lower \
                 `Journal::max_bytes` to {})",
                max_bytes.saturating_mul(2),
                limit / 2,
            )
        });
    }
    let machine = settings.machine_memory?;
    (max_bytes > machine / 2).then(|| {
        format!(
            "the journal may use more than half of the memory of redis: `max_bytes` is {max_bytes}, \
             and its machine has {machine} bytes (lower `Journal::max_bytes` to {})",
            machine / 2,
        )
    })
}

/// Only a process with a durable name relies on a journal that it has not read yet.
fn restart(settings: &ServerSettings, durable: Option<&str>) -> Option<String> {
    let name = Escaped(durable?);
    let has_none = settings.has_append_only_file == Some(false);
    has_none.then(|| {
        format!(
            "a restart of redis loses events that `{name}` has not read yet, because redis writes \
             no append-only file (run `CONFIG SET appendonly yes`)"
        )
    })
}

fn slot_move(max_bytes: u64, topology: TopologyKind) -> Option<String> {
    (topology == TopologyKind::Cluster && max_bytes > MOVABLE).then(|| {
        format!(
            "the slot of the journal cannot be moved while the journal is larger than \
             `proto-max-bulk-len`, 512 MiB by default: `max_bytes` is {max_bytes} (run \
             `CONFIG SET proto-max-bulk-len {}` on each node, or lower `Journal::max_bytes`)",
            max_bytes.saturating_mul(2),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: fn() -> ServerSettings = || ServerSettings {
        maxmemory: Some(1 << 30),
        maxmemory_policy: Some("volatile-lru".to_owned()),
        machine_memory: Some(8 << 30),
        has_append_only_file: Some(true),
    };

    fn of(settings: &ServerSettings, options: &Journal) -> Vec<String> {
        dangers(settings, options, TopologyKind::Standalone)
    }

    #[test]
    fn settings_that_suit_a_journal_cause_no_warning() {
        let (plain, durable) = (Journal::default(), Journal::default().durable("billing"));
        assert!(of(&GOOD(), &durable).is_empty());
        // What the server does not say is no danger.
        assert!(of(&ServerSettings::default(), &durable).is_empty());
        let without_limit = ServerSettings {
            maxmemory: Some(0),
            maxmemory_policy: Some("allkeys-lru".to_owned()),
            has_append_only_file: Some(false),
            ..GOOD()
        };
        assert!(of(&without_limit, &plain).is_empty());
        assert!(dangers(&GOOD(), &plain, TopologyKind::Cluster).is_empty());
    }

    #[test]
    fn each_danger_is_named_with_the_command_that_ends_it() {
        let evicts = ServerSettings {
            maxmemory_policy: Some("allkeys-lfu".to_owned()),
            ..GOOD()
        };
        let small = ServerSettings {
            maxmemory: Some(100 << 20),
            ..GOOD()
        };
        let small_machine = ServerSettings {
            maxmemory: Some(0),
            machine_memory: Some(64 << 20),
            ..GOOD()
        };
        let forgets = ServerSettings {
            has_append_only_file: Some(false),
            ..GOOD()
        };
        let plain = Journal::default();
        for (settings, options, cure) in [
            (
                evicts,
                plain.clone(),
                "CONFIG SET maxmemory-policy volatile-lfu",
            ),
            (small, plain.clone(), "CONFIG SET maxmemory 134217728"),
            (small_machine, plain, "`Journal::max_bytes` to 33554432"),
            (
                forgets,
                Journal::default().durable("billing"),
                "CONFIG SET appendonly yes",
            ),
        ] {
            let dangers = of(&settings, &options);
            assert_eq!(dangers.len(), 1, "{dangers:?}");
            assert!(dangers[0].contains(cure), "{dangers:?}");
        }
        let large = Journal::default().max_bytes(MOVABLE + 1);
        let on_cluster = ServerSettings {
            maxmemory: Some(8 << 30),
            ..GOOD()
        };
        let dangers = dangers(&on_cluster, &large, TopologyKind::Cluster);
        assert!(
            dangers[0].contains("CONFIG SET proto-max-bulk-len 1073741826"),
            "{dangers:?}"
        );
    }
}
