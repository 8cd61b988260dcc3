//! Random faults of a cluster, one after the other. The same seed makes the same faults.

use std::time::{Duration, Instant};

use anyhow::Result;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use tokio::time::sleep;

use super::strike::Struck;
use super::trial::Trial;
use super::{ClusterFault, What, classic};
use crate::row::{Effort, Outcome};
use crate::traffic::CHANNEL;

/// The faults of a full run, and of a quick one.
const FAULTS: usize = 30;
const QUICK: usize = 6;

/// The faults to choose from.
const KINDS: [What; 9] = [
    What::ReceivingKilled,
    What::SendingKilled,
    What::OwnerKilled,
    What::PlannedFailover,
    What::PlannedFailover,
    What::SlotMove,
    What::SlowSlotMove,
    What::MajorityKilled,
    What::NodeCutOff,
];

/// The limit of the time without a call on shared state, after the last fault.
pub(in crate::rows) const LIMIT: Duration = Duration::from_secs(15);

pub(in crate::rows) async fn run(effort: Effort) -> Result<Outcome> {
    let fault: ClusterFault = classic(What::NodeCutOff);
    let mut trial = Trial::start(fault).await?;
    let mut random = StdRng::seed_from_u64(effort.seed);
    let faults = if effort.quick { QUICK } else { FAULTS };
    let begun = Instant::now();
    let mut last = begun;
    for _ in 0..faults {
        if random.random_bool(0.3) {
            trial.reset_connections(&mut random).await;
        }
        let what = *KINDS.choose(&mut random).expect("there are some");
        last = trial.strike(what).await?.over;
        sleep(Duration::from_millis(random.random_range(0..=500))).await;
    }
    let struck = Struck {
        since: begun,
        over: last,
    };
    let mut outcome = trial.account(struck).await?;
    outcome.notes.push(format!("{faults} faults"));
    Ok(outcome)
}

impl Trial {
    /// Closes all connections of clients to one node.
    async fn reset_connections(&mut self, random: &mut StdRng) {
        let nodes: Vec<_> = self.cluster.servers().collect();
        if let Some(node) = nodes.choose(random) {
            node.kill_clients().await;
        }
        self.cluster.owner_of(CHANNEL).await;
    }
}
