//! Keys while their slot moves and their node fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tidings::{Bus, Shared, SharedMap};
use tidings_testkit::{Cluster, Node, Redis, wait_for};
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{interval, timeout};

use super::events::KEY;
use crate::log_capture::log;

const SOON: Duration = Duration::from_secs(30);

/// The time within which a request is answered while no node has the keys.
const ANSWERED: Duration = Duration::from_millis(900);

/// The wait of a request for the node that has the keys, less the time of its last attempts.
const PATIENCE: Duration = Duration::from_millis(450);

/// Increments a counter every 5 ms.
struct Counting {
    bus: Bus,
    stop: Arc<AtomicBool>,
    counting: JoinHandle<Counted>,
}

/// The results of all increments.
#[derive(Debug, Default)]
struct Counted {
    done: i64,
    unknown: i64,
    not_done: i64,
    longest: Duration,
    /// The shortest wait of an increment that was not done.
    first_given_up: Option<Duration>,
}

impl Counting {
    fn start(bus: &Bus) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let counting = tokio::spawn(count(bus.clone(), Arc::clone(&stop)));
        Self {
            bus: bus.clone(),
            stop,
            counting,
        }
    }

    /// Checks that the counter is exact.
    async fn end(self) -> Counted {
        let (counted, is) = self.end_after_a_loss().await;
        assert!(is >= counted.done, "{is}: {counted:?}");
        counted
    }

    /// Checks that no increment was repeated. A server that was killed may have answered increments of
    /// which it had not told its replica. Returns the value of the counter, too.
    async fn end_after_a_loss(self) -> (Counted, i64) {
        self.stop.store(true, Ordering::Relaxed);
        let counted = self.counting.await.unwrap();
        let counter = self.bus.counter("visits").unwrap();
        let is = counter.get().await.unwrap();
        assert!(is <= counted.done + counted.unknown, "{is}: {counted:?}");
        (counted, is)
    }
}

async fn count(bus: Bus, stop: Arc<AtomicBool>) -> Counted {
    let counter = bus.counter("visits").unwrap();
    let (mut clock, mut counted) = (interval(Duration::from_millis(5)), Counted::default());
    while !stop.load(Ordering::Relaxed) {
        clock.tick().await;
        let begun = Instant::now();
        match counter.add(1).await {
            Ok(_) => counted.done += 1,
            Err(error) if error.is_unknown() => counted.unknown += 1,
            Err(_) => {
                counted.not_done += 1;
                let waited = begun.elapsed();
                let shortest = counted.first_given_up.unwrap_or(waited).min(waited);
                counted.first_given_up = Some(shortest);
            }
        }
        counted.longest = counted.longest.max(begun.elapsed());
    }
    counted
}

async fn counts_again(bus: &Bus) {
    let counter = bus.counter("others").unwrap();
    wait_for("keys can be written again", SOON, async || {
        counter.add(1).await.is_ok()
    })
    .await;
}

async fn becomes(limit: &Shared<u64>, expected: u64) {
    wait_for("the value arrives", SOON, async || {
        let limit = limit.get().await;
        limit.is_ok_and(|limit| limit.value().is_some_and(|limit| **limit == expected))
    })
    .await;
}

#[tokio::test]
async fn keys_come_back_after_their_node_was_killed_and_no_increment_is_repeated() {
    let mut cluster = Cluster::start().await;
    let (writer, reader) = (
        Node::start(Bus::builder(&cluster.url())).await,
        Node::start(Bus::builder(&cluster.url())).await,
    );
    let limit = reader.shared::<u64>("limit").unwrap();
    let counting = Counting::start(&writer);
    counts_again(&writer).await;

    let killed = cluster.kill_owner_of(KEY).await;
    cluster.wait_for_owner_other_than(KEY, killed).await;
    counts_again(&writer).await;

    writer.shared("limit").unwrap().set(&7_u64).await.unwrap();
    becomes(&limit, 7).await;
    let (counted, is) = counting.end_after_a_loss().await;
    assert!(is > 0, "{counted:?}");
    assert!(counted.not_done > 0, "{counted:?}");
    assert!(counted.longest < ANSWERED, "{counted:?}");
}

#[tokio::test]
async fn a_planned_failover_is_followed_without_an_error() {
    // On a slow machine, the servers take each other for dead after the usual 1.5 seconds.
    let cluster = Cluster::builder().node_timeout(Duration::from_secs(15));
    let cluster = cluster.start().await;
    let bus = Node::start(Bus::builder(&cluster.url())).await;
    let counting = Counting::start(&bus);
    counts_again(&bus).await;

    cluster.failover(KEY).await;
    counts_again(&bus).await;

    let counted = counting.end().await;
    assert_eq!(counted.unknown, 0, "{counted:?}");
    // A slow machine can take longer for the failover than a request waits.
    let waited = counted.first_given_up.unwrap_or(PATIENCE);
    assert!(waited >= PATIENCE, "{counted:?}");
}

#[tokio::test]
async fn keys_are_used_while_their_slot_moves() {
    let cluster = Cluster::start().await;
    let bus = Node::start(Bus::builder(&cluster.url())).await;
    let limit = bus.shared::<u64>("limit").unwrap();
    let colour = bus.shared::<String>("colour").unwrap();
    limit.set(&1).await.unwrap();
    let counting = Counting::start(&bus);
    counts_again(&bus).await;

    let slot = cluster.begin_slot_move(KEY).await;
    // Keys that have left, that have not, and that are new.
    while slot.migrate(1).await > 0 {
        limit
            .update(|limit| limit.map_or(0, |limit| limit + 1))
            .await
            .unwrap();
        colour.set(&"green".to_owned()).await.unwrap();
        counts_again(&bus).await;
    }
    slot.finish().await;
    counts_again(&bus).await;

    let counted = counting.end().await;
    assert_eq!((counted.not_done, counted.unknown), (0, 0), "{counted:?}");
}

#[tokio::test]
async fn no_entry_is_left_out_of_all_entries_during_a_failover() {
    const ENTRIES: usize = 5_000;
    // On a slow machine, the servers take each other for dead after the usual 1.5 seconds.
    let cluster = Cluster::builder().node_timeout(Duration::from_secs(15));
    let cluster = cluster.start().await;
    let node = Node::start(Bus::builder(&cluster.url())).await;
    let ages: SharedMap<usize, usize> = node.map("ages").unwrap();
    let entry = |age: usize| [age.to_string(), format!("json 1 n {age}")];
    let entries: Vec<String> = (0..ENTRIES).flat_map(entry).collect();
    let mut write = vec!["HSET", "tidings:{default}:map:ages"];
    write.extend(entries.iter().map(String::as_str));
    cluster.owner_of(KEY).await.command(&write).await;

    let reads = async {
        loop {
            if let Ok(all) = ages.all().await {
                assert_eq!(all.len(), ENTRIES);
            }
            // An error may be returned without a wait, which would starve the failover.
            yield_now().await;
        }
    };
    tokio::select! {
        _ = cluster.failover(KEY) => {}
        () = reads => {}
    }

    wait_for("all entries are read", SOON, async || {
        ages.all().await.is_ok_and(|all| all.len() == ENTRIES)
    })
    .await;
}

#[tokio::test]
async fn a_value_that_a_failover_lost_is_read_again() {
    let cluster = Cluster::start().await;
    let bus = Node::start(Bus::builder(&cluster.url())).await;
    let limit = bus.shared::<u64>("limit").unwrap();
    limit.set(&1).await.unwrap();
    // Another client writes without a notification.
    let owner = cluster.owner_of(KEY).await;
    let key = "tidings:{default}:shared:limit";
    owner
        .command(&["HSET", key, "value", "2", "nonce", "other"])
        .await;

    cluster.failover(KEY).await;

    becomes(&limit, 2).await;
}

#[tokio::test]
async fn requests_on_keys_fail_at_once_while_the_cluster_is_down() {
    let mut cluster = Cluster::start().await;
    let ports: Vec<_> = cluster
        .servers()
        .map(tidings_testkit::Redis::port)
        .collect();
    let bus = Node::start(Bus::builder(&cluster.url())).await;
    let limit = bus.shared::<u64>("limit").unwrap();
    for one in [0, 1, 3, 4] {
        cluster.kill(ports[one]);
    }
    let fails = async || {
        let begun = Instant::now();
        let error = limit.set(&1).await.err();
        let took = begun.elapsed();
        assert!(took < ANSWERED * 2, "{took:?}: {error:?}");
        error
    };
    wait_for("the cluster is down", SOON, async || {
        fails().await.is_some_and(|error| !error.is_unknown())
    })
    .await;
    let error = fails().await.unwrap();
    let text = tidings::report(&error).to_string();
    assert!(text.contains("nothing was changed"), "{text}");
}

#[tokio::test]
async fn a_request_whose_answer_was_lost_is_not_repeated() {
    let cluster = Cluster::start().await;
    let bus = Node::start(Bus::builder(&cluster.url())).await;
    let counter = bus.counter("visits").unwrap();
    counter.add(1).await.unwrap();

    // It is sent, and answered by nobody; the replica takes over meanwhile.
    cluster.freeze(cluster.owner_of(KEY).await.port());
    let error = counter.add(1).await.unwrap_err();
    cluster.resume();

    assert!(error.is_unknown(), "{error:?}");
    counts_again(&bus).await;
    assert!([1, 2].contains(&counter.get().await.unwrap()));
}

#[tokio::test]
async fn a_request_to_a_node_that_gets_the_slot_and_does_not_answer_ends() {
    let patient = Duration::from_mins(1);
    let cluster = Cluster::builder().replicas(0).node_timeout(patient);
    let cluster = cluster.start().await;
    // No other request is under way.
    let bus = Bus::builder(&cluster.url()).membership(false);
    let bus = Node::start(bus).await;
    let counter = bus.counter("visits").unwrap();
    let slot = cluster.begin_slot_move(KEY).await;
    counter.add(1).await.unwrap();
    let importing = importing(&cluster).await;

    importing.freeze();
    let unanswered = timeout(Duration::from_secs(8), counter.add(1)).await;
    let begun = Instant::now();
    let not_sent = counter.add(1).await;
    let took = begun.elapsed();
    importing.resume();

    let error = unanswered.expect("the request ends").unwrap_err();
    assert!(error.is_unknown(), "{error:?}");
    let error = not_sent.unwrap_err();
    assert!(
        !error.is_unknown() && took < ANSWERED,
        "{error:?}, {took:?}"
    );
    slot.finish().await;
    counts_again(&bus).await;
    assert_eq!(counter.get().await.unwrap(), 2);
}

#[tokio::test]
async fn it_is_logged_that_no_node_has_the_keys() {
    let log = log();
    let patient = Duration::from_mins(1);
    let cluster = Cluster::builder().replicas(0).node_timeout(patient);
    let cluster = cluster.start().await;
    let bus = Bus::builder(&cluster.url()).namespace("unused");
    let bus = Node::start(bus).await;
    let is_logged = async |text: &str| {
        let says = |line: &str| line.contains(text) && line.contains("tidings:{unused}");
        wait_for("it is logged", SOON, async || {
            log.all().iter().any(|line| says(line))
        })
        .await;
    };

    let owner = cluster.owner_of("tidings:{unused}").await;
    owner.freeze();
    is_logged("cannot use the keys of the namespace").await;
    owner.resume();

    is_logged("can use the keys of the namespace again").await;
    counts_again(&bus).await;
}

/// The node that a slot moves to.
async fn importing(cluster: &Cluster) -> &Redis {
    for server in cluster.servers() {
        if server.cli(&["CLUSTER", "NODES"]).await.contains("-<-") {
            return server;
        }
    }
    panic!("no slot is moving");
}
