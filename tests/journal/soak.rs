//! The short form of the soak: random faults under traffic, and the account of every event. A long run
//! of the tests has a hundred of them, and `cargo xtask faults --soak --journal` more.

use std::env;
use std::time::SystemTime;

use tidings_faults::journal::servers::Topology;
use tidings_faults::journal::soak::{Plan, Summary, run};

/// The faults of an ordinary and of a long run. Failovers take longer than other faults.
const STANDALONE: [usize; 2] = [15, 40];
const SENTINEL: [usize; 2] = [8, 20];

const EVENTS_OF_A_FAULT: usize = 100;

#[tokio::test(flavor = "multi_thread")]
async fn under_random_faults_no_event_is_lost_in_silence_or_handled_twice() {
    let seed = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() % 1_000_000;
    let soak = async |topology, faults, seed| {
        let plan = Plan {
            topology,
            faults,
            events: (faults * EVENTS_OF_A_FAULT) as u64,
            seed,
        };
        run(plan, |_| {}).await
    };
    let is_long = env::var_os("TIDINGS_TEST_LONG").is_some();
    let [standalone, sentinel] = [STANDALONE, SENTINEL].map(|faults| faults[usize::from(is_long)]);
    let summaries = tokio::join!(
        soak(Topology::Standalone, standalone, seed),
        soak(Topology::Standalone, standalone, seed + 1),
        soak(Topology::Sentinel, sentinel, seed),
    );
    let summaries = <[Summary; 3]>::from(summaries);
    for summary in &summaries {
        // Shown where the test fails.
        println!("{summary}");
        assert!(!summary.has_failed());
        assert!(summary.counts.received > 0);
    }
    // Not each seed takes away events that were received, but of a hundred faults some do.
    assert!(!is_long || summaries.iter().any(|it| it.counts.diverged > 0));
}
