//! The rows: each scenario, the peers that take part, and the number of events.

use clap::ValueEnum;
use serde::Serialize;

use crate::peers::Peer::{
    self, Faststream, Fred, Ioredis, JournalJson, JournalMsgpack, Nats, NodeRedis, Raw, Redis,
    RedisPipelines, RedisPy, Ruststream, TidingsJson, TidingsMsgpack,
};
use crate::work::{Load, Work};

/// The servers of a scenario, and how events travel through them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Topology {
    Standalone,
    /// Three masters, classic pub/sub.
    Cluster,
    /// Three masters, sharded pub/sub.
    ShardedCluster,
}

/// The work, independent of the peer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Scenario {
    pub(crate) topology: Topology,
    pub(crate) load: Load,
    pub(crate) per_second: u64,
    pub(crate) subscribers: usize,
    pub(crate) size: usize,
    pub(crate) names: u64,
    pub(crate) handlers: usize,
}

/// A scenario and a peer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Row {
    pub(crate) scenario: Scenario,
    pub(crate) peer: Peer,
    pub(crate) events: u64,
}

const fn scenario(load: Load, subscribers: usize) -> Scenario {
    Scenario {
        topology: Topology::Standalone,
        load,
        per_second: 0,
        subscribers,
        size: 124,
        names: 1,
        handlers: 1,
    }
}

pub(crate) const AWAIT_1: Scenario = scenario(Load::Await, 1);
pub(crate) const AWAIT_8: Scenario = scenario(Load::Await, 8);
pub(crate) const TASKS_1: Scenario = scenario(Load::Tasks, 1);
pub(crate) const TASKS_8: Scenario = scenario(Load::Tasks, 8);
pub(crate) const FEED_1: Scenario = scenario(Load::Feed, 1);
pub(crate) const FEED_8: Scenario = scenario(Load::Feed, 8);

/// Many processes that receive little.
pub(crate) const MANY: Scenario = Scenario::rate(1_000).to(24);

impl Scenario {
    /// An open loop: this many events a second.
    pub(crate) const fn rate(per_second: u64) -> Self {
        Self {
            per_second,
            ..scenario(Load::Rate, 1)
        }
    }

    pub(crate) const fn on(self, topology: Topology) -> Self {
        Self { topology, ..self }
    }

    pub(crate) const fn to(self, subscribers: usize) -> Self {
        Self {
            subscribers,
            ..self
        }
    }

    pub(crate) const fn of_size(self, size: usize) -> Self {
        Self { size, ..self }
    }

    pub(crate) const fn with_names(self, names: u64) -> Self {
        Self { names, ..self }
    }

    pub(crate) const fn with_handlers(self, handlers: usize) -> Self {
        Self { handlers, ..self }
    }

    /// The scenario whose rows run next to those of this one, because they are compared.
    pub(crate) const fn block(self) -> Self {
        self.with_names(1)
    }

    /// The name in tables.
    pub(crate) fn name(&self) -> String {
        let load = match self.load {
            Load::Await => "await each".to_owned(),
            Load::Tasks => "256 tasks".to_owned(),
            Load::Feed => "feed".to_owned(),
            Load::Rate => format!("{}/s", thousands(self.per_second)),
        };
        let mut words = vec![load, format!("1 → {}", self.subscribers)];
        match self.size {
            124 => {}
            size if size >= 1_024 => words.push(format!("{} KiB", size / 1_024)),
            size => words.push(format!("{size} B")),
        }
        if self.names > 1 {
            words.push(format!("1 of {} names", self.names));
        }
        if self.handlers > 1 {
            words.push(format!("{} handlers", self.handlers));
        }
        match self.topology {
            Topology::Standalone => {}
            Topology::Cluster => words.push("cluster".to_owned()),
            Topology::ShardedCluster => words.push("sharded cluster".to_owned()),
        }
        words.join(", ")
    }

    /// The events that a peer gets done in one to two seconds, which is the length of a run.
    fn events(&self, peer: Peer) -> u64 {
        match self.load {
            Load::Rate => self.per_second.min(100_000) * 2,
            Load::Await => self.awaited(peer),
            Load::Tasks | Load::Feed => {
                let each = fed(peer) / if self.subscribers == 8 { 4 } else { 1 };
                let of_size = each * (124 + FIXED) / (self.size as u64 + FIXED);
                let is_on_cluster = self.topology != Topology::Standalone;
                let is_slower = self.handlers > 1 || (is_on_cluster && !peer.is_tidings());
                let slower = if is_slower { 2 } else { 1 };
                (of_size / slower).max(1_000)
            }
        }
    }

    fn awaited(&self, peer: Peer) -> u64 {
        let each = match peer {
            Faststream => 1_500,
            Nats => 80_000,
            RedisPy | NodeRedis | Ioredis => 4_000,
            _ => 8_000,
        };
        if self.subscribers == 8 {
            each / 3
        } else {
            each
        }
    }
}

/// The part of an event's cost that does not depend on its size, as a number of bytes.
const FIXED: u64 = 500;

/// The order of magnitude of the events that a peer feeds in a second on two cores.
fn fed(peer: Peer) -> u64 {
    match peer {
        TidingsJson | JournalJson => 1_000_000,
        TidingsMsgpack | JournalMsgpack => 1_500_000,
        Redis | RedisPipelines | Fred => 200_000,
        Ruststream => 100_000,
        Nats => 400_000,
        Raw => 350_000,
        Ioredis | NodeRedis => 60_000,
        RedisPy => 30_000,
        Faststream => 3_000,
    }
}

pub(crate) const CLUSTERS: [Topology; 2] = [Topology::Cluster, Topology::ShardedCluster];

/// The peers that can send one event after the other; the last of them at most a thousand a second.
const ONE_BY_ONE: [Peer; 9] = [
    TidingsJson,
    Redis,
    Fred,
    Ruststream,
    Nats,
    Ioredis,
    NodeRedis,
    RedisPy,
    Faststream,
];

/// All rows, scenario by scenario.
pub(crate) fn all() -> Vec<Row> {
    let mut rows = Vec::new();
    let mut add = |scenario: Scenario, peers: &[Peer]| {
        rows.extend(peers.iter().map(|&peer| Row {
            scenario,
            peer,
            events: scenario.events(peer),
        }));
    };
    for scenario in [AWAIT_1, AWAIT_8] {
        add(scenario, &ONE_BY_ONE);
        add(scenario, &[Raw]);
    }
    add(AWAIT_1, &[JournalJson]);
    for scenario in [TASKS_1, TASKS_8] {
        add(scenario, &[TidingsJson, TidingsMsgpack, Redis, Fred, Nats]);
    }
    for scenario in [FEED_1, FEED_8] {
        add(scenario, Peer::value_variants());
    }
    let few = [TidingsJson, TidingsMsgpack, RedisPipelines, Nats];
    for size in [32, 1_024, 16_384] {
        add(FEED_1.of_size(size), &few);
        add(FEED_8.of_size(size), &few);
    }
    add(FEED_1.of_size(16_384), &[JournalJson]);
    let cluster = [
        TidingsJson,
        TidingsMsgpack,
        Redis,
        RedisPipelines,
        Fred,
        Ioredis,
    ];
    for topology in CLUSTERS {
        add(AWAIT_1.on(topology), &[TidingsJson, Redis, Fred, Ioredis]);
        add(FEED_1.on(topology), &cluster);
        add(FEED_8.on(topology), &cluster);
    }
    for names in [16, 256] {
        add(FEED_1.with_names(names), &few);
    }
    add(FEED_1.with_handlers(8), &few);
    add(Scenario::rate(1_000), &ONE_BY_ONE);
    add(Scenario::rate(1_000), &[JournalJson]);
    add(MANY, &[TidingsJson, JournalJson]);
    add(Scenario::rate(5_000), &ONE_BY_ONE[..8]);
    for per_second in [50_000, 100_000, 200_000] {
        add(
            Scenario::rate(per_second),
            &[TidingsJson, TidingsMsgpack, Redis, Fred, Nats],
        );
    }
    rows
}

impl Row {
    pub(crate) fn work(&self) -> Work {
        Work {
            events: self.events,
            load: self.scenario.load,
            per_second: self.scenario.per_second,
            size: self.scenario.size,
            names: self.scenario.names,
            handlers: self.scenario.handlers,
            format: self.peer.format(),
            ..Work::default()
        }
    }

    /// Returns whether the name of the row contains all of these words.
    pub(crate) fn is_called(&self, words: &[String]) -> bool {
        let (scenario, peer) = (self.scenario.name(), self.peer);
        // Few keyboards have an arrow.
        let typed = scenario.replace(" → ", "->");
        let name = format!("{scenario} {typed} {} {}", peer.name(), peer.slug()).to_lowercase();
        let contains = |word: &str| name.contains(&word.to_lowercase());
        words
            .iter()
            .flat_map(|word| word.split_whitespace())
            .all(contains)
    }
}

/// Formats a number with commas.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().collect();
    String::from_utf8_lossy(&groups.join(&b',')).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn called(words: &[&str]) -> Vec<Row> {
        let words: Vec<_> = words.iter().map(|&word| word.to_owned()).collect();
        let mut rows = all();
        rows.retain(|row| row.is_called(&words));
        rows
    }

    #[test]
    fn a_row_is_selected_if_its_name_contains_all_words() {
        assert_eq!(called(&[]), all());
        let nats = called(&["feed 1", "nats"]);
        assert!(nats.len() > 2);
        assert!(nats.iter().all(|row| row.peer == Nats));
        assert_eq!(called(&["MessagePack", "16 KiB", "1->8"]).len(), 1);
        assert_eq!(called(&["no such row"]), []);
    }

    #[test]
    fn no_row_exists_twice() {
        let rows = all();
        for (index, row) in rows.iter().enumerate() {
            assert!(!rows[index + 1..].contains(row), "{row:?}");
        }
    }

    #[test]
    fn every_run_has_between_500_and_4_000_000_events() {
        for row in all() {
            assert!((500..=4_000_000).contains(&row.events), "{row:?}");
        }
    }

    #[test]
    fn numbers_are_formatted_with_commas() {
        assert_eq!(thousands(7), "7");
        assert_eq!(thousands(1_234), "1,234");
        assert_eq!(thousands(1_234_567), "1,234,567");
    }
}
