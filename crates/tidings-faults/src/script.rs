//! A random sequence of faults. The same seed makes the same sequence.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tidings_testkit::{Direction, Fault};

/// The faults of a full run.
pub const FAULTS: usize = 100;

/// The heartbeat interval under random faults: a silent loss is found before the next fault.
pub const INTERVAL: Duration = Duration::from_secs(1);

/// A fault, its duration, and the pause after it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// The fault.
    pub what: Disruption,
    /// The index of the proxy, where the fault needs one.
    pub at: usize,
    /// The duration of the fault.
    pub lasts: Duration,
    /// The pause after it.
    pub rest: Duration,
}

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Disruption {
    /// Resets all connections through one proxy.
    Reset,
    /// Resets all connections.
    ResetAll,
    /// Applies this fault to one proxy for a while.
    Proxy(Fault),
    /// Loses the bytes of one proxy, until its connections are reset.
    DropBytes(Direction),
    /// Redis closes the connections that are subscribed.
    KillSubscribers,
    /// Redis closes the connections that are not subscribed.
    KillSenders,
    /// Pauses all commands of Redis.
    Pause,
    /// Stops Redis (SIGSTOP), and resumes it.
    Freeze,
    /// Kills Redis, and starts it again.
    Restart,
    /// Lets Redis disconnect subscribers that are a little behind, and publishes a long frame.
    SmallBuffer,
    /// Stops a whole process (SIGSTOP).
    StopProcess,
    /// Makes all proxies lose their bytes, for longer than the shortest lease.
    Outage,
}

const KINDS: u32 = 17;

/// Scripts with processes have more kinds.
const KINDS_WITH_PROCESSES: u32 = KINDS + 3;

/// The pause before and after an outage of all, and its duration.
const ALONE: Duration = Duration::from_secs(3);
const OUTAGE: Duration = Duration::from_secs(6);

/// Returns this many faults of proxies and Redis.
pub fn script(seed: u64, faults: usize, proxies: usize) -> Vec<Step> {
    make(seed, faults, proxies, KINDS)
}

/// Returns this many faults, some of which stop a process, and an outage of all in the middle.
pub fn script_with_processes(seed: u64, faults: usize, proxies: usize) -> Vec<Step> {
    let mut steps = make(seed, faults, proxies, KINDS_WITH_PROCESSES);
    // A short script must have both.
    if let Some(first) = steps.first_mut() {
        first.what = Disruption::StopProcess;
        first.lasts = first.lasts.min(STOPPED);
    }
    let middle = steps.len() / 2;
    if let Some(before) = steps[..middle].last_mut() {
        before.rest = ALONE;
    }
    let outage = Step {
        what: Disruption::Outage,
        at: 0,
        lasts: OUTAGE,
        rest: ALONE,
    };
    steps.insert(middle, outage);
    steps
}

/// The longest stop of a process.
const STOPPED: Duration = Duration::from_millis(2_500);

fn make(seed: u64, faults: usize, proxies: usize, kinds: u32) -> Vec<Step> {
    let mut random = StdRng::seed_from_u64(seed);
    let step = |_| step(&mut random, proxies, kinds);
    (0..faults).map(step).collect()
}

fn step(random: &mut StdRng, proxies: usize, kinds: u32) -> Step {
    let what = disruption(random, kinds);
    let at = random.random_range(0..proxies);
    let lasts = match what {
        Disruption::Proxy(_) | Disruption::DropBytes(_) => 300..=3_000,
        Disruption::Restart => 50..=800,
        _ => 200..=2_000,
    };
    Step {
        what,
        at,
        lasts: Duration::from_millis(random.random_range(lasts)),
        rest: Duration::from_millis(random.random_range(0..=500)),
    }
}

fn disruption(random: &mut StdRng, kinds: u32) -> Disruption {
    let direction = match random.random_range(0..3) {
        0 => Direction::Both,
        1 => Direction::ToServer,
        _ => Direction::ToClient,
    };
    match random.random_range(0..kinds) {
        0 | 1 => Disruption::Reset,
        2 => Disruption::ResetAll,
        3 | 4 => Disruption::Proxy(Fault::Blackhole(direction)),
        5 => Disruption::Proxy(Fault::Latency(Duration::from_millis(
            random.random_range(1..=200),
        ))),
        6 => Disruption::Proxy(Fault::Slice(random.random_range(1..=64))),
        7 | 8 => Disruption::Proxy(Fault::CutAfter(random.random_range(1..=20_000), direction)),
        9 => Disruption::Proxy(Fault::SilentClose),
        10 => Disruption::DropBytes(direction),
        11 => Disruption::KillSubscribers,
        12 => Disruption::KillSenders,
        13 => Disruption::Pause,
        14 => Disruption::Freeze,
        15 => Disruption::Restart,
        16 => Disruption::SmallBuffer,
        _ => Disruption::StopProcess,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_makes_the_same_script() {
        assert_eq!(script(7, 100, 8), script(7, 100, 8));
        assert_ne!(script(7, 100, 8), script(8, 100, 8));
        assert_eq!(
            script_with_processes(7, 10, 8),
            script_with_processes(7, 10, 8)
        );
    }

    #[test]
    fn a_short_script_with_processes_stops_one_and_has_an_outage_of_all() {
        for seed in 0..10 {
            let script = script_with_processes(seed, 5, 8);
            for what in [Disruption::StopProcess, Disruption::Outage] {
                assert!(script.iter().any(|step| step.what == what), "{seed}");
            }
        }
    }

    #[test]
    fn a_long_script_has_every_fault() {
        let script = script(7, 1_000, 8);
        let is_there = |what: fn(&Disruption) -> bool| script.iter().any(|step| what(&step.what));
        for what in [
            |what: &Disruption| matches!(what, Disruption::Proxy(Fault::CutAfter(..))),
            |what: &Disruption| matches!(what, Disruption::DropBytes(_)),
            |what: &Disruption| *what == Disruption::Freeze,
            |what: &Disruption| *what == Disruption::Restart,
            |what: &Disruption| *what == Disruption::SmallBuffer,
        ] {
            assert!(is_there(what));
        }
    }
}
