//! A random sequence of faults: the same seed makes the same.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tidings_testkit::{Direction, Fault};

/// One fault, how long it lasts, and how long all is well after it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Step {
    pub(crate) what: Mischief,
    /// Which proxy, where it is one.
    pub(crate) at: usize,
    pub(crate) lasts: Duration,
    pub(crate) rest: Duration,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mischief {
    /// All connections through one proxy are reset.
    Reset,
    /// All connections there are are reset.
    ResetAll,
    /// One proxy is under this fault for a while.
    Proxy(Fault),
    /// What one proxy should carry is lost, until the connections are reset.
    Swallow(Direction),
    KillHearers,
    KillSenders,
    /// Redis holds all commands back.
    Pause,
    Freeze,
    Restart,
    /// Redis cuts off whoever is a little behind, and something long is published.
    SmallBuffer,
    /// A whole process stands still (SIGSTOP).
    StopProcess,
    /// All proxies lose what they should carry, for longer than the shortest lease.
    Outage,
}

const KINDS: u32 = 17;

/// With processes of their own there are more.
const KINDS_WITH_PROCESSES: u32 = KINDS + 3;

/// How long all is well before and after an outage of all, and how long that lasts.
const ALONE: Duration = Duration::from_secs(3);
const OUTAGE: Duration = Duration::from_secs(6);

/// This many faults of proxies and Redis.
pub(crate) fn script(seed: u64, faults: usize, proxies: usize) -> Vec<Step> {
    make(seed, faults, proxies, KINDS)
}

/// This many faults, processes that stand still among them, and in the middle an outage of all.
pub(crate) fn script_with_processes(seed: u64, faults: usize, proxies: usize) -> Vec<Step> {
    let mut steps = make(seed, faults, proxies, KINDS_WITH_PROCESSES);
    // Also a short script has each of them.
    if let Some(first) = steps.first_mut() {
        first.what = Mischief::StopProcess;
        first.lasts = first.lasts.min(STOPPED);
    }
    let middle = steps.len() / 2;
    if let Some(before) = steps[..middle].last_mut() {
        before.rest = ALONE;
    }
    let outage = Step {
        what: Mischief::Outage,
        at: 0,
        lasts: OUTAGE,
        rest: ALONE,
    };
    steps.insert(middle, outage);
    steps
}

/// How long a process stands still at most.
const STOPPED: Duration = Duration::from_millis(2_500);

fn make(seed: u64, faults: usize, proxies: usize, kinds: u32) -> Vec<Step> {
    let mut random = StdRng::seed_from_u64(seed);
    let step = |_| step(&mut random, proxies, kinds);
    (0..faults).map(step).collect()
}

fn step(random: &mut StdRng, proxies: usize, kinds: u32) -> Step {
    let what = mischief(random, kinds);
    let at = random.random_range(0..proxies);
    let lasts = match what {
        Mischief::Proxy(_) | Mischief::Swallow(_) => 300..=3_000,
        Mischief::Restart => 50..=800,
        _ => 200..=2_000,
    };
    Step {
        what,
        at,
        lasts: Duration::from_millis(random.random_range(lasts)),
        rest: Duration::from_millis(random.random_range(0..=500)),
    }
}

fn mischief(random: &mut StdRng, kinds: u32) -> Mischief {
    let way = match random.random_range(0..3) {
        0 => Direction::Both,
        1 => Direction::ToServer,
        _ => Direction::ToClient,
    };
    match random.random_range(0..kinds) {
        0 | 1 => Mischief::Reset,
        2 => Mischief::ResetAll,
        3 | 4 => Mischief::Proxy(Fault::Blackhole(way)),
        5 => Mischief::Proxy(Fault::Latency(Duration::from_millis(
            random.random_range(1..=200),
        ))),
        6 => Mischief::Proxy(Fault::Slice(random.random_range(1..=64))),
        7 | 8 => Mischief::Proxy(Fault::CutAfter(random.random_range(1..=20_000), way)),
        9 => Mischief::Proxy(Fault::SilentClose),
        10 => Mischief::Swallow(way),
        11 => Mischief::KillHearers,
        12 => Mischief::KillSenders,
        13 => Mischief::Pause,
        14 => Mischief::Freeze,
        15 => Mischief::Restart,
        16 => Mischief::SmallBuffer,
        _ => Mischief::StopProcess,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_makes_one_script() {
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
            for what in [Mischief::StopProcess, Mischief::Outage] {
                assert!(script.iter().any(|step| step.what == what), "{seed}");
            }
        }
    }

    #[test]
    fn every_fault_comes_up() {
        let script = script(7, 1_000, 8);
        let is_there = |what: fn(&Mischief) -> bool| script.iter().any(|step| what(&step.what));
        for what in [
            |what: &Mischief| matches!(what, Mischief::Proxy(Fault::CutAfter(..))),
            |what: &Mischief| matches!(what, Mischief::Swallow(_)),
            |what: &Mischief| *what == Mischief::Freeze,
            |what: &Mischief| *what == Mischief::Restart,
            |what: &Mischief| *what == Mischief::SmallBuffer,
        ] {
            assert!(is_there(what));
        }
    }
}
