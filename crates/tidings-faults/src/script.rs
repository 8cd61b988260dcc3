//! A random sequence of faults: the same seed makes the same.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tidings_testkit::{Fault, Way};

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
    Swallow(Way),
    KillHearers,
    KillSenders,
    /// Redis holds all commands back.
    Pause,
    Freeze,
    Restart,
    /// Redis cuts off whoever is a little behind, and something long is published.
    SmallBuffer,
}

const KINDS: u32 = 17;

/// So many faults.
pub(crate) fn script(seed: u64, faults: usize, proxies: usize) -> Vec<Step> {
    let mut random = StdRng::seed_from_u64(seed);
    let step = |_| step(&mut random, proxies);
    (0..faults).map(step).collect()
}

fn step(random: &mut StdRng, proxies: usize) -> Step {
    let what = mischief(random);
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

fn mischief(random: &mut StdRng) -> Mischief {
    let way = match random.random_range(0..3) {
        0 => Way::Both,
        1 => Way::ToServer,
        _ => Way::FromServer,
    };
    match random.random_range(0..KINDS) {
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
        _ => Mischief::SmallBuffer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_makes_one_script() {
        assert_eq!(script(7, 100, 8), script(7, 100, 8));
        assert_ne!(script(7, 100, 8), script(8, 100, 8));
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
