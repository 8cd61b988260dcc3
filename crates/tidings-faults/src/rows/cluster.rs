//! A Redis Cluster of three masters and three replicas loses nodes, moves slots and is cut in two.

mod chaos;
mod probe;
mod strike;
mod trial;

use std::time::Duration;

use anyhow::Result;

pub(super) use self::chaos::{LIMIT as CHAOS_LIMIT, run as run_chaos};
use self::trial::Trial;
use crate::row::Outcome;

/// The time without an answer after which a node is down for the others.
const SHORT: Duration = Duration::from_millis(1_500);
/// Redis's own default.
const LONG: Duration = Duration::from_secs(15);

/// A replica has the slots of its master this long after the master is down for the others.
const ELECTED_WITHIN: Duration = Duration::from_millis(1_500);

/// The limit of a call on a counter while the slot has no owner, and what a busy machine adds.
const ANSWERS_WITHIN: Duration = Duration::from_millis(600);

/// Two looks at the nodes, a second apart, and two heartbeats.
const LEAVES_WITHIN: Duration = Duration::from_millis(12_500);

/// A fault of a cluster, and its settings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ClusterFault {
    what: What,
    is_sharded: bool,
    node_timeout: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum What {
    /// The node that the first subscriber receives from is killed.
    ReceivingKilled,
    /// The node that the first sender sends through is killed.
    SendingKilled,
    /// The owner of the slot of the namespace is killed.
    OwnerKilled,
    PlannedFailover,
    SlotMove,
    /// A slot moves with some of its keys under way.
    SlowSlotMove,
    /// The node that the first subscriber receives from is stopped.
    ReceivingStopped,
    MajorityKilled,
    AllRestarted,
    /// One master is cut off by the network, with buses on either side.
    NodeCutOff,
    /// The owner of the slot is cut off with its replica, with buses on either side.
    ShardCutOff,
}

use What::{
    AllRestarted, MajorityKilled, NodeCutOff, OwnerKilled, PlannedFailover, ReceivingKilled,
    ReceivingStopped, SendingKilled, ShardCutOff, SlotMove, SlowSlotMove,
};

const fn classic(what: What) -> ClusterFault {
    ClusterFault {
        what,
        is_sharded: false,
        node_timeout: SHORT,
    }
}

const fn sharded(what: What) -> ClusterFault {
    ClusterFault {
        is_sharded: true,
        ..classic(what)
    }
}

const fn slow(what: What) -> ClusterFault {
    ClusterFault {
        node_timeout: LONG,
        ..classic(what)
    }
}

impl ClusterFault {
    pub(super) const ALL: [Self; 17] = [
        classic(ReceivingKilled),
        classic(SendingKilled),
        classic(OwnerKilled),
        slow(OwnerKilled),
        sharded(OwnerKilled),
        classic(PlannedFailover),
        sharded(PlannedFailover),
        classic(SlotMove),
        sharded(SlotMove),
        classic(SlowSlotMove),
        sharded(SlowSlotMove),
        classic(ReceivingStopped),
        classic(MajorityKilled),
        classic(AllRestarted),
        classic(NodeCutOff),
        classic(ShardCutOff),
        slow(ShardCutOff),
    ];

    pub(super) fn name(self) -> String {
        let what = match self.what {
            ReceivingKilled => "receiving node killed",
            SendingKilled => "sending node killed",
            OwnerKilled => "owner of the slot killed",
            PlannedFailover => "planned failover",
            SlotMove => "slot moved at once",
            SlowSlotMove => "slot moved with keys under way",
            ReceivingStopped => "receiving node stopped",
            MajorityKilled => "majority killed",
            AllRestarted => "all nodes restarted",
            NodeCutOff => "a node cut off",
            ShardCutOff => "a shard cut off",
        };
        let sharded = if self.is_sharded { ", sharded" } else { "" };
        let timeout = match self.node_timeout {
            SHORT => String::new(),
            timeout => format!(", node timeout {timeout:?}"),
        };
        format!("Cluster: {what}{sharded}{timeout}")
    }

    /// The limit of the longest silence.
    pub(super) fn limit(self) -> Duration {
        match self.what {
            // A sharded channel moves with its slot: the bus is told, and subscribes again.
            PlannedFailover | SlotMove | SlowSlotMove if self.is_sharded => {
                Duration::from_millis(800)
            }
            // Two heartbeats.
            ReceivingStopped => Duration::from_millis(10_500),
            AllRestarted => Duration::from_secs(4),
            NodeCutOff | ShardCutOff => self.node_timeout + LEAVES_WITHIN,
            _ => Duration::from_millis(200),
        }
    }

    pub(super) fn times(self) -> usize {
        match self.what {
            NodeCutOff | ShardCutOff | AllRestarted => 1,
            _ if self.node_timeout == LONG => 1,
            _ => 2,
        }
    }

    /// True if no event may be lost, and no call on shared state may fail.
    fn is_harmless(self) -> bool {
        let is_planned = matches!(self.what, PlannedFailover | SlotMove | SlowSlotMove);
        is_planned && !self.is_sharded
    }

    /// The limit of a call on a counter. A node that does not answer is left after a PING and its
    /// time limit, two seconds each.
    fn answers_within(self) -> Duration {
        match self.what {
            ReceivingStopped | NodeCutOff | ShardCutOff => Duration::from_millis(4_500),
            _ => ANSWERS_WITHIN,
        }
    }

    /// The time after the fault, or after its end, in which keys must work again.
    fn keys_are_back_within(self) -> Duration {
        self.node_timeout + ELECTED_WITHIN
    }
}

pub(super) async fn run(fault: ClusterFault, times: usize) -> Result<Outcome> {
    let mut trials = Vec::new();
    for _ in 0..times {
        trials.push(try_once(fault).await);
    }
    Ok(Outcome::of_all(trials))
}

async fn try_once(fault: ClusterFault) -> Result<Outcome> {
    let mut trial = Trial::start(fault).await?;
    let over = trial.strike(fault.what).await?;
    trial.account(over).await
}
