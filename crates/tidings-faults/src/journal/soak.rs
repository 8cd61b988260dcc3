//! Rounds of random faults under traffic, until enough faults and events were seen.

mod summary;

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use futures_util::FutureExt as _;

pub use self::summary::Summary;
use super::faults::script;
use super::round::Round;
use super::servers::Topology;

/// The faults of a round: its journal is small enough to be read, and to be copied to a replica.
const FAULTS_OF_A_ROUND: usize = 50;

/// The events a second, as a multiple of the events for one fault, and the limits.
const RATE: u64 = 2;
const SLOWEST: u64 = 200;
const FASTEST: u64 = 3_000;

/// Of this many rounds, one has a journal that is trimmed so soon that subscribers fall behind.
const TRIMMED_OF: u64 = 4;
const SHORT: Duration = Duration::from_secs(1);

/// A soak of one topology.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The servers.
    pub topology: Topology,
    /// The least number of faults.
    pub faults: usize,
    /// The least number of events.
    pub events: u64,
    /// Makes the faults of the first round; each round has the next one.
    pub seed: u64,
}

/// Runs rounds until there were enough faults and events, and calls `round_has_ended` after each.
pub async fn run(plan: Plan, mut round_has_ended: impl FnMut(&Summary)) -> Summary {
    let mut summary = Summary::new(plan.topology);
    let began = Instant::now();
    let events_per_fault = plan.events.div_ceil(plan.faults.max(1) as u64);
    let (mut left, mut seed) = (plan.faults, plan.seed);
    while left > 0 {
        let faults = left.min(FAULTS_OF_A_ROUND);
        let round = Round {
            topology: plan.topology,
            steps: script(plan.topology, seed, faults),
            rate: (events_per_fault * RATE).clamp(SLOWEST, FASTEST),
            events_per_fault,
            retention: (seed % TRIMMED_OF == TRIMMED_OF - 1).then_some(SHORT),
            process: None,
            seed,
        };
        summary.begin(seed, &round.steps);
        let ended = AssertUnwindSafe(round.go_through()).catch_unwind().await;
        // The panic hook has printed the message.
        let ended = ended.unwrap_or_else(|_| Err(anyhow!("a panic")));
        summary.end(seed, ended);
        (left, seed) = (left - faults, seed + 1);
        summary.took = began.elapsed();
        round_has_ended(&summary);
    }
    summary
}
