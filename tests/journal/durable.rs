//! Durable names: a process continues where the last one stopped, and a second one stands by.

use std::future::{pending, ready};
use std::sync::Arc;
use std::time::Duration;

use tidings::{Bus, BusBuilder, DurableRole, GapReason, HandlerOptions, Journal};
use tidings_testkit::{Collected, Node, Redis, memory_url, wait_for};
use tokio::runtime::{self, Runtime};
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::{has_received, journaled, send};

/// The limit of a shutdown.
const SOON: Duration = Duration::from_secs(5);

/// Longer than a lease lasts.
const TAKEOVER: Duration = Duration::from_secs(40);

/// Longer than two looks at the journal take.
const LONG: Duration = Duration::from_secs(20);

fn billing(builder: BusBuilder) -> BusBuilder {
    builder.journal(Journal::default().durable("billing"))
}

/// A process with the durable name `billing`, and the ticks that its handler received.
async fn charges(url: &str) -> (Node, Collected<u64>) {
    let ticks = Collected::default();
    let seen = ticks.clone();
    let builder = billing(Bus::builder(url)).on("tick", move |tick: u64| {
        seen.push(tick);
        ready(())
    });
    (Node::start(builder).await, ticks)
}

/// The ticks that were received, once there are as many as these.
async fn are(ticks: &Collected<u64>, expected: std::ops::RangeInclusive<u64>) {
    let expected: Vec<u64> = expected.collect();
    let received = ticks.wait_for_len(expected.len()).await;
    assert!(
        received.iter().map(|tick| **tick).eq(expected),
        "{received:?}"
    );
}

/// The role of a node, as its health has it.
fn role(node: &Node) -> DurableRole {
    let durable = node.health().journal.unwrap().durable.unwrap();
    assert_eq!(durable.name, "billing");
    durable.role
}

/// Ends the lease of the holder, as 15 s without a renewal do.
async fn end_lease(redis: &Redis) {
    const SCRIPT: &str = "local stored = redis.call('HGET', KEYS[1], 'billing')
        return redis.call('HSET', KEYS[1], 'billing', (string.gsub(stored, '^%d+', '1')))";
    let key = "tidings:{default}:journal:positions";
    redis.command(&["EVAL", SCRIPT, "1", key]).await;
}

/// The number of times that a node looked how large the journal is, which it does before a trim.
async fn looks(redis: &Redis) -> u64 {
    let stats = redis.cli(&["INFO", "commandstats"]).await;
    let usage = stats.lines().find_map(|line| {
        let (name, calls) = line.split_once(":calls=")?;
        name.starts_with("cmdstat_memory").then_some(calls)
    });
    let calls = usage.and_then(|calls| calls.split(',').next());
    calls.map_or(0, |calls| calls.parse().unwrap())
}

#[tokio::test]
async fn a_process_that_was_down_continues_where_it_stopped() {
    for redis in [None, Some(Redis::start().await)] {
        let memory = memory_url();
        let url = redis.as_ref().map_or(memory, Redis::url);
        let sender = Node::start(journaled(Bus::builder(&url))).await;
        send(&sender, 1..=5).await;
        let (node, ticks) = charges(&url).await;
        are(&ticks, 1..=5).await;
        // Nobody knows what was trimmed before the name was first used.
        let gaps = node.gaps().wait_for_len(1).await;
        assert_eq!(
            (gaps[0].missed, &gaps[0].reason),
            (None, &GapReason::Trimmed)
        );
        node.shutdown(SOON).await.unwrap();
        send(&sender, 6..=500).await;

        let (node, ticks) = charges(&url).await;
        node.caught_up().await;
        send(&sender, 501..=501).await;

        are(&ticks, 6..=501).await;
        assert!(node.gaps().all().is_empty(), "{:?}", node.gaps().all());
    }
}

#[tokio::test]
async fn what_a_stream_has_not_returned_is_left_to_the_next_process() {
    let url = memory_url();
    let first = Node::start(billing(Bus::builder(&url))).await;
    let mut ticks = first.stream::<_, u64>("tick").unwrap();
    let sender = Node::start(journaled(Bus::builder(&url))).await;
    send(&sender, 1..=10).await;
    assert_eq!(ticks.next().await, Some(1));

    first.shutdown(SOON).await.unwrap();
    drop(ticks);

    let (_second, left) = charges(&url).await;
    left.wait_for(|tick| *tick == 10).await;
    let left = left.all();
    let rest: Vec<u64> = left
        .iter()
        .map(|tick| **tick)
        .filter(|tick| *tick > 1)
        .collect();
    assert!(rest.iter().copied().eq(2..=10), "{rest:?}");
}

#[tokio::test]
async fn a_standby_takes_over_when_the_holder_shuts_down() {
    let redis = Redis::start().await;
    let sender = Node::start(journaled(Bus::builder(&redis.url()))).await;
    let (holder, ticks) = charges(&redis.url()).await;
    let (standby, later) = charges(&redis.url()).await;
    send(&sender, 1..=500).await;
    are(&ticks, 1..=500).await;
    assert!(standby.is_ready());
    assert!(later.all().is_empty());

    holder.shutdown(SOON).await.unwrap();
    send(&sender, 501..=1_000).await;

    are(&later, 501..=1_000).await;
    assert!(
        standby.gaps().all().is_empty(),
        "{:?}",
        standby.gaps().all()
    );
}

#[tokio::test]
async fn a_holder_that_is_one_again_from_an_earlier_position_handles_nothing_twice() {
    // The text of the name with another holder, whose lease ends soon.
    const SCRIPT: &str = "local time = redis.call('TIME')
        local text = string.gsub(ARGV[1], '^%d+ %x+', function()
            return string.format('%.0f %s', time[1] * 1000 + 1500, string.rep('a', 32))
        end)
        return redis.call('HSET', KEYS[1], 'billing', text)";
    let key = "tidings:{default}:journal:positions";
    let redis = Redis::start().await;
    let sender = Node::start(journaled(Bus::builder(&redis.url()))).await;
    let (node, ticks) = charges(&redis.url()).await;
    send(&sender, 1..=5).await;
    are(&ticks, 1..=5).await;
    node.gaps().wait_for_len(1).await;
    let handled = node.health().journal.unwrap().position;
    wait_for("the position is stored", SOON, async || {
        let names = sender.journal().unwrap().positions().await.unwrap();
        names.iter().any(|name| name.position >= Some(handled))
    })
    .await;
    let earlier = redis.cli(&["HGET", key, "billing"]).await;
    send(&sender, 6..=10).await;
    are(&ticks, 1..=10).await;

    // As a replica that has not received the last positions, and is the master now.
    redis
        .command(&["EVAL", SCRIPT, "1", key, earlier.trim_matches(['"', '\n'])])
        .await;
    wait_for("it stands by", SOON, async || {
        matches!(role(&node), DurableRole::Standby { .. })
    })
    .await;
    send(&sender, 11..=15).await;

    are(&ticks, 1..=15).await;
    assert_eq!(role(&node), DurableRole::Holder);
    send(&sender, 16..=16).await;
    are(&ticks, 1..=16).await;
    assert_eq!(node.gaps().all().len(), 1, "{:?}", node.gaps().all());
}

#[tokio::test]
async fn a_standby_takes_over_when_the_lease_ends_and_the_old_holder_stands_by() {
    let redis = Redis::start().await;
    let sender = Node::start(journaled(Bus::builder(&redis.url()))).await;
    let holder = redis.node_with(billing).await;
    let ticks: Collected<u64> = holder.collect("tick");
    send(&sender, 1..=5).await;
    are(&ticks, 1..=5).await;
    let (standby, later) = charges(&redis.url()).await;
    let handled = holder.health().journal.unwrap().position;
    wait_for("the position is stored", SOON, async || {
        let names = sender.journal().unwrap().positions().await.unwrap();
        names.iter().any(|name| name.position >= Some(handled))
    })
    .await;

    redis.cut_off(&holder).await;
    end_lease(&redis).await;
    send(&sender, 6..=10).await;
    are(&later, 6..=10).await;

    redis.restore(&holder).await;
    let stands_by = DurableRole::Standby {
        holder: Some(standby.id()),
    };
    wait_for("the old holder stands by", SOON, async || {
        role(&holder) == stands_by
    })
    .await;
    assert_eq!(role(&standby), DurableRole::Holder);
    let before = ticks.all().len();
    send(&sender, 11..=20).await;
    are(&later, 6..=20).await;
    assert_eq!(ticks.all().len(), before);
}

#[tokio::test]
async fn a_holder_that_was_paused_for_longer_than_its_lease_leaves_the_rest_to_the_new_one() {
    const LAST: u64 = 9_999;
    let redis = Redis::start().await;
    let sender = Node::start(journaled(Bus::builder(&redis.url()))).await;
    let own = OwnThread::start();
    let url = redis.url();
    let holder = own.runtime().spawn(async move { charges(&url).await });
    let (holder, ticks) = holder.await.unwrap();
    send(&sender, 1..=5).await;
    are(&ticks, 1..=5).await;
    let (standby, later) = charges(&redis.url()).await;

    // Its only thread waits, as that of a process that is stopped.
    let (resume, paused) = std::sync::mpsc::channel::<()>();
    own.runtime().spawn(async move { paused.recv() });
    wait_for("the standby takes over", TAKEOVER, async || {
        role(&standby) == DurableRole::Holder
    })
    .await;
    send(&sender, 6..=2_000).await;
    later.wait_for(|tick| *tick == 2_000).await;
    drop(resume);
    let stands_by = DurableRole::Standby {
        holder: Some(standby.id()),
    };
    wait_for("the old holder stands by", LONG, async || {
        role(&holder) == stands_by
    })
    .await;
    // Handled after all that it read before.
    sender.send_to(holder.id(), "tick", &LAST).await.unwrap();
    ticks.wait_for(|tick| *tick == LAST).await;

    let received = ticks.all();
    let received = received.iter().map(|tick| **tick);
    assert_eq!(received.collect::<Vec<_>>(), [1, 2, 3, 4, 5, LAST]);
}

#[tokio::test]
async fn a_holder_that_may_not_renew_its_lease_any_more_leaves_the_rest_to_the_new_one() {
    const LAST: u64 = 9_999;
    let redis = Redis::start().await;
    let sender = Node::start(journaled(Bus::builder(&redis.url()))).await;
    let rules = ["ACL", "SETUSER", "billing", "on", "nopass", "~*", "&*"];
    redis.command(&[&rules[..], &["+@all"]].concat()).await;
    let url = format!("redis://billing:any@{}", redis.address());
    let (holder, ticks) = charges(&url).await;
    send(&sender, 1..=5).await;
    are(&ticks, 1..=5).await;
    let (standby, later) = charges(&redis.url()).await;

    redis
        .command(&["ACL", "SETUSER", "billing", "-@scripting"])
        .await;
    wait_for("the standby takes over", TAKEOVER, async || {
        role(&standby) == DurableRole::Holder
    })
    .await;
    send(&sender, 6..=20).await;
    later.wait_for(|tick| *tick == 20).await;
    redis
        .command(&["ACL", "SETUSER", "billing", "+@scripting"])
        .await;
    let stands_by = DurableRole::Standby {
        holder: Some(standby.id()),
    };
    wait_for("the old holder stands by", LONG, async || {
        role(&holder) == stands_by
    })
    .await;
    // Handled after all that it read before, once it is a member again.
    wait_for("the last event is sent", LONG, async || {
        let last = sender.send_to(holder.id(), "tick", &LAST);
        last.await.is_ok()
    })
    .await;
    ticks.wait_for(|tick| *tick == LAST).await;

    let received = ticks.all();
    let received = received.iter().map(|tick| **tick);
    assert_eq!(received.collect::<Vec<_>>(), [1, 2, 3, 4, 5, LAST]);
}

/// A runtime with one thread, which is not waited for at the end.
struct OwnThread(Option<Runtime>);

impl OwnThread {
    fn start() -> Self {
        let mut runtime = runtime::Builder::new_multi_thread();
        Self(Some(
            runtime.worker_threads(1).enable_all().build().unwrap(),
        ))
    }

    fn runtime(&self) -> &Runtime {
        self.0.as_ref().unwrap()
    }
}

impl Drop for OwnThread {
    fn drop(&mut self) {
        self.0.take().unwrap().shutdown_background();
    }
}

#[tokio::test]
async fn an_event_is_handled_again_only_if_its_handler_has_not_ended() {
    let redis = Redis::start().await;
    let sender = Node::start(journaled(Bus::builder(&redis.url()))).await;
    let begun = Collected::default();
    let seen = begun.clone();
    let builder = billing(Bus::builder(&redis.url())).on("tick", move |tick: u64| {
        seen.push(tick);
        async move {
            match tick {
                2 => Err("a failure is reported, and not repeated"),
                4 => pending().await,
                _ => Ok(()),
            }
        }
    });
    let node = Node::start(builder).await;
    send(&sender, 1..=6).await;
    are(&begun, 1..=4).await;
    assert!(node.shutdown(Duration::from_millis(500)).await.is_err());

    let (_node, ticks) = charges(&redis.url()).await;
    are(&ticks, 4..=6).await;
}

#[tokio::test]
async fn a_standby_receives_what_is_addressed_to_it() {
    let redis = Redis::start().await;
    let sender = Node::start(journaled(Bus::builder(&redis.url()))).await;
    let (holder, ticks) = charges(&redis.url()).await;
    let (standby, own) = charges(&redis.url()).await;
    let to = |node: &Node| node.id();
    sender.send_to(to(&standby), "tick", &7_u64).await.unwrap();
    are(&own, 7..=7).await;
    send(&sender, 1..=1).await;
    are(&ticks, 1..=1).await;

    holder.shutdown(SOON).await.unwrap();
    send(&sender, 2..=2).await;

    // What it has handled as a standby is not handled again.
    let all = own.wait_for_len(2).await;
    assert!(all.iter().map(|tick| **tick).eq([7, 2]), "{all:?}");
}

#[tokio::test]
async fn what_was_sent_to_a_holder_alone_is_reported_by_its_successor() {
    let redis = Redis::start().await;
    let sender = Node::start(journaled(Bus::builder(&redis.url()))).await;
    let first = redis.node_with(billing).await;
    let ticks: Collected<u64> = first.collect("tick");
    let sent = sender.send_to(first.id(), "tick", &1_u64).await.unwrap();
    are(&ticks, 1..=1).await;
    wait_for("the position is stored", LONG, async || {
        let names = sender.journal().unwrap().positions().await.unwrap();
        names.iter().any(|name| name.position >= sent.position())
    })
    .await;

    redis.cut_off(&first).await;
    for tick in 2..=3 {
        sender.send_to(first.id(), "tick", &tick).await.unwrap();
    }
    send(&sender, 4..=4).await;
    end_lease(&redis).await;
    let (second, later) = charges(&redis.url()).await;
    are(&later, 4..=4).await;

    let reason = GapReason::Predecessor { node: first.id() };
    wait_for("both events are reported", LONG, async || {
        let reported = second.gaps().all();
        let missed = reported.iter().filter(|gap| gap.reason == reason);
        missed.filter_map(|gap| gap.missed).sum::<u64>() == 2
    })
    .await;
    let reported = second.gaps().all();

    // The first one handles these itself.
    redis.restore(&first).await;
    ticks.wait_for(|tick| *tick == 3).await;
    sender.send_to(first.id(), "tick", &5_u64).await.unwrap();
    send(&sender, 6..=6).await;
    ticks.wait_for(|tick| *tick == 5).await;
    later.wait_for(|tick| *tick == 6).await;
    assert_eq!(second.gaps().all().len(), reported.len());
}

#[tokio::test]
async fn a_holder_keeps_its_name_when_redis_loses_everything() {
    let redis = Redis::start().await;
    let sender = Node::start(journaled(Bus::builder(&redis.url()))).await;
    let (node, ticks) = charges(&redis.url()).await;
    send(&sender, 1..=5).await;
    are(&ticks, 1..=5).await;
    redis.command(&["FLUSHALL"]).await;
    send(&sender, 6..=10).await;
    has_received(&ticks, 10).await;
    node.gaps()
        .wait_for(|gap| gap.reason == GapReason::JournalLost)
        .await;
    node.shutdown(SOON).await.unwrap();
    send(&sender, 11..=12).await;

    let (_node, ticks) = charges(&redis.url()).await;
    are(&ticks, 11..=12).await;
}

#[tokio::test]
async fn the_journal_keeps_what_a_durable_name_asked_for() {
    // Redis removes whole nodes of the stream.
    let redis = Redis::builder().config("stream-node-max-entries", "10");
    let redis = redis.start().await;
    let long = Journal::default().max_age(Duration::from_hours(1));
    let builder = Bus::builder(&redis.url()).journal(long.durable("billing"));
    let node = Node::start(builder.on("tick", |_: u64| ready(()))).await;
    node.shutdown(SOON).await.unwrap();
    let brief = Journal::default().max_age(Duration::from_millis(1));
    let sender = Node::start(Bus::builder(&redis.url()).journal(brief)).await;
    send(&sender, 1..=100).await;
    // The second look begins when all events are too old for the sender.
    let before = looks(&redis).await;
    wait_for("the sender looks at the journal", LONG, async || {
        looks(&redis).await >= before + 2
    })
    .await;

    let (node, ticks) = charges(&redis.url()).await;
    are(&ticks, 1..=100).await;
    assert!(node.gaps().all().is_empty(), "{:?}", node.gaps().all());
}

#[tokio::test]
async fn positions_are_listed_and_removed_and_the_journal_is_trimmed() {
    for redis in [None, Some(Redis::start().await)] {
        let memory = memory_url();
        let url = redis.as_ref().map_or(memory, Redis::url);
        let (node, ticks) = charges(&url).await;
        let sender = Node::start(journaled(Bus::builder(&url))).await;
        send(&sender, 1..=3).await;
        are(&ticks, 1..=3).await;
        let journal = sender.journal().unwrap();
        let names = journal.positions().await.unwrap();
        assert_eq!(
            (&*names[0].name, names[0].holder),
            ("billing", Some(node.id()))
        );
        assert_eq!(names[0].max_bytes, 64 << 20);
        node.shutdown(SOON).await.unwrap();

        let info = journal.info().await.unwrap();
        let names = journal.positions().await.unwrap();
        assert_eq!(
            (names[0].holder, names[0].position),
            (None, Some(info.newest))
        );
        assert!(info.entries >= 4 && info.bytes > 0 && info.oldest < info.newest);
        assert!(journal.remove_position("billing").await.unwrap());
        assert!(!journal.remove_position("billing").await.unwrap());
        assert!(journal.trim(info.newest).await.unwrap());
        assert!(!journal.trim(info.newest).await.unwrap());
    }
    assert!(
        Node::start(Bus::builder(&memory_url()))
            .await
            .journal()
            .is_none()
    );
}

#[tokio::test]
async fn a_request_that_finds_the_queue_full_costs_a_durable_name_no_event() {
    let (ticks, permits) = (Collected::default(), Arc::new(Semaphore::new(0)));
    let (seen, permitted) = (ticks.clone(), Arc::clone(&permits));
    let handler = move |tick: u64| {
        let (seen, permitted) = (seen.clone(), Arc::clone(&permitted));
        async move {
            permitted.acquire().await.unwrap().forget();
            seen.push(tick);
        }
    };
    let builder = billing(Bus::builder(&memory_url()));
    let options = HandlerOptions::new().queue(4);
    let node = Node::start(builder.on_with("tick", options, handler)).await;
    for tick in 1..=12_u64 {
        node.send_to_all("tick", &tick).await.unwrap();
    }

    let _responses = node.request_all::<(), _, _>("tick", &99_u64).await.unwrap();
    wait_for("the request is dropped", LONG, async || {
        node.health().dropped > 0
    })
    .await;
    // The reader of the journal tries the queue again every 100 ms.
    sleep(Duration::from_millis(300)).await;
    permits.add_permits(12);

    are(&ticks, 1..=12).await;
    assert_eq!(node.health().dropped, 1);
}
