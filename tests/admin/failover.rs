//! Planned failovers, with events on the way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tidings::acl::Permissions;
use tidings::admin::{Admin, FailoverError, FailoverReport, FailoverStep};
use tidings::{Bus, Context, report};
use tidings_testkit::{Cluster, Redis, Sentinels, SentinelsBuilder, wait_for};
use tokio::time::{interval, timeout};

const SOON: Duration = Duration::from_secs(30);

/// The events of one run, if the failover has ended by then.
const EVENTS: u64 = 20_000;

/// The subscribers of one run.
const SUBSCRIBERS: usize = 3;

/// The events that one subscriber has received.
#[derive(Default)]
struct Tally {
    received: AtomicU64,
    /// Sum of the numbers, to notice one twice instead of another.
    sum: AtomicU64,
}

fn admin(url: &str) -> Admin {
    Bus::builder(url).admin().unwrap()
}

async fn subscriber(url: &str) -> (Bus, Arc<Tally>) {
    let bus = Bus::builder(url).start().await.unwrap();
    let tally = Arc::new(Tally::default());
    let counted = Arc::clone(&tally);
    bus.on("tick", move |tick: u64, _: Context| {
        counted.received.fetch_add(1, Ordering::Relaxed);
        counted.sum.fetch_add(tick, Ordering::Relaxed);
        async {}
    })
    .unwrap();
    // Each reconnect is one: another node may have sent its last event in the meantime.
    bus.on_gap(|_: tidings::Gap| async {}).unwrap();
    (bus, tally)
}

/// Sends events until `is_over`, about 6,000 a second, and returns how many it sent and how many failed.
async fn send_all(bus: Bus, sent: Arc<AtomicU64>, is_over: Arc<AtomicBool>) -> (u64, u64) {
    let mut ticks = interval(Duration::from_millis(2));
    let (mut number, mut failed) = (0, 0);
    while number < EVENTS || !is_over.load(Ordering::Relaxed) {
        ticks.tick().await;
        for _ in 0..12 {
            number += 1;
            failed += u64::from(bus.feed("tick", &number).await.is_err());
        }
        sent.store(number, Ordering::Relaxed);
    }
    let failed = bus.flush().await.map_or(number, |()| failed);
    (number, failed)
}

/// Fails over in the middle of the events, and checks that each subscriber has received all of them.
async fn hands_over_without_a_loss(url: &str, to: String) -> FailoverReport {
    let mut subscribers = Vec::new();
    for _ in 0..SUBSCRIBERS {
        subscribers.push(subscriber(url).await);
    }
    let sender = Bus::builder(url).start().await.unwrap();
    let sent = Arc::new(AtomicU64::new(0));
    let is_over = Arc::new(AtomicBool::new(false));
    let sending = send_all(sender.clone(), Arc::clone(&sent), Arc::clone(&is_over));
    let sending = tokio::spawn(sending);
    wait_for("a part is sent", SOON, async || {
        sent.load(Ordering::Relaxed) > EVENTS / 4
    })
    .await;

    let plan = admin(url).plan_failover(&to).await.unwrap();
    let report = plan
        .run(|step, after| println!("{step} {after:?}"))
        .await
        .unwrap();

    is_over.store(true, Ordering::Relaxed);
    let (events, failed) = sending.await.unwrap();
    assert_eq!(failed, 0, "sends failed");
    for (bus, tally) in &subscribers {
        let received = || tally.received.load(Ordering::Relaxed);
        let all = timeout(SOON, async {
            while received() + bus.health().missed < events {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        let _ = all.await;
        assert_eq!((received(), bus.health().missed), (events, 0), "{report:?}");
        assert_eq!(tally.sum.load(Ordering::Relaxed), events * (events + 1) / 2);
    }
    println!("{report:?}");
    report
}

/// Lets the sentinels look at the servers more often: they ask for the priority every 10 s.
async fn look_often(sentinels: &Sentinels) {
    for sentinel in sentinels.sentinels() {
        sentinel
            .command(&["SENTINEL", "DEBUG", "INFO-PERIOD", "1000"])
            .await;
    }
}

/// Sentinels that do not mistake the pause of a master for its death. By default it takes them 30 s.
fn patient() -> SentinelsBuilder {
    Sentinels::builder().down_after(Duration::from_secs(5))
}

fn address(server: &Redis) -> String {
    server.address().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_hand_over_without_the_loss_of_an_event() {
    let sentinels = patient().start().await;
    look_often(&sentinels).await;
    let old = sentinels.master().await.port();
    let to = sentinels
        .servers()
        .iter()
        .rfind(|server| server.port() != old)
        .unwrap();

    let report = hands_over_without_a_loss(&sentinels.url(), address(to)).await;

    assert_eq!(report.followed, report.subscribers);
    assert_eq!(report.subscribers, Some(SUBSCRIBERS as u64 + 1));
    assert_eq!(
        sentinels.wait_for_master_other_than(old).await.port(),
        to.port()
    );
    let old = sentinels
        .servers()
        .iter()
        .find(|server| server.port() == old)
        .unwrap();
    assert!(
        !old.is_master().await,
        "it would accept writes that are lost"
    );
    let steps: Vec<_> = report.steps.iter().map(|(step, _)| *step).collect();
    let expected = [
        FailoverStep::Preferred,
        FailoverStep::Paused,
        FailoverStep::CaughtUp,
        FailoverStep::Switched,
        FailoverStep::Followed,
        FailoverStep::Resumed,
    ];
    assert_eq!(steps, expected);
    let priority = to.cli(&["CONFIG", "GET", "replica-priority"]).await;
    assert!(priority.ends_with("100"), "{priority}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_hands_over_without_the_loss_of_an_event() {
    let cluster = Cluster::start().await;
    let to = address(cluster.replica_of("tidings:{default}").await);

    let report = hands_over_without_a_loss(&cluster.url(), to.clone()).await;

    assert_eq!(report.subscribers, None);
    assert_eq!(address(cluster.owner_of("tidings:{default}").await), to);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sharded_channel_of_a_cluster_is_handed_over_without_the_loss_of_an_event() {
    let cluster = Cluster::start().await;
    let to = address(cluster.replica_of("tidings:{default}").await);
    let url = format!("{}/?pubsub=sharded", cluster.url());

    let report = hands_over_without_a_loss(&url, to).await;

    assert_eq!(report.subscribers, Some(SUBSCRIBERS as u64 + 1));
    assert_eq!(report.followed, report.subscribers);
}

#[tokio::test]
async fn a_failover_that_is_given_up_leaves_no_paused_master() {
    let sentinels = patient().start().await;
    look_often(&sentinels).await;
    let old = sentinels.master().await;
    let to = sentinels
        .servers()
        .iter()
        .find(|server| server.port() != old.port())
        .unwrap();
    let plan = admin(&sentinels.url())
        .plan_failover(&address(to))
        .await
        .unwrap();
    let (paused, mut is_paused) = tokio::sync::mpsc::unbounded_channel();
    let running = tokio::spawn(plan.run(move |step, _| {
        if step == FailoverStep::Paused {
            let _ = paused.send(());
        }
    }));
    is_paused.recv().await.unwrap();
    running.abort();
    let began = Instant::now();

    old.command(&["SET", "colour", "green"]).await;

    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn a_server_that_cannot_become_the_master_is_rejected_with_the_reason() {
    let redis = Redis::start().await;
    let error = admin(&redis.url())
        .plan_failover(&address(&redis))
        .await
        .unwrap_err();
    assert!(matches!(error, FailoverError::Standalone), "{error}");

    let sentinels = Sentinels::start().await;
    let admin = admin(&sentinels.url());
    let master = sentinels.master().await;
    let replica = sentinels
        .servers()
        .iter()
        .find(|it| it.port() != master.port())
        .unwrap();
    let other = sentinels
        .servers()
        .iter()
        .rfind(|it| it.port() != master.port())
        .unwrap();
    let error = |to: String| {
        let admin = &admin;
        async move { report(&admin.plan_failover(&to).await.unwrap_err()).to_string() }
    };

    let text = error(address(master)).await;
    assert!(
        text.ends_with("cannot become the master: it is a master"),
        "{text}"
    );
    let text = error("10.0.0.9:1".to_owned()).await;
    assert!(
        text.contains(&address(replica)) && text.contains(&address(other)),
        "{text}"
    );
    let text = error(address(&sentinels.sentinels()[0])).await;
    assert!(text.contains("is not one of the replicas"), "{text}");
    replica.cut_replication().await;
    wait_for("it is noticed", SOON, async || {
        error(address(replica))
            .await
            .contains("is not connected to its master")
    })
    .await;
    other
        .command(&["CONFIG", "SET", "replica-priority", "0"])
        .await;
    let text = error(address(other)).await;
    assert!(text.contains("`replica-priority` is 0"), "{text}");
}

#[tokio::test]
async fn the_permissions_of_an_administrator_are_enough() {
    let rules = Permissions::of_bus("default").unwrap().administer();
    let chief = format!("chief on >hush {rules}");
    let sentinels = patient()
        .servers(|redis| redis.user(chief))
        .sentinels(|redis| {
            let rules = Permissions::of_sentinel().administer();
            redis.user(format!("chief on >hush {rules}"))
        })
        .start()
        .await;
    look_often(&sentinels).await;
    let url = sentinels.url_as("chief", "hush");
    let admin = admin(&format!("{url}?sentinel_user=chief&sentinel_password=hush"));
    for server in admin.servers_with_settings().await.unwrap() {
        let state = server.state.unwrap();
        // A sentinel has no settings of this kind.
        assert!(
            server.is_sentinel || state.denied.is_empty(),
            "{:?}",
            state.denied
        );
    }
    let old = sentinels.master().await.port();
    let to = sentinels
        .servers()
        .iter()
        .find(|server| server.port() != old)
        .unwrap();
    // The settings tell what the user may not do, too.
    to.command(&["ACL", "LOG", "RESET"]).await;

    let plan = admin.plan_failover(&address(to)).await.unwrap();
    plan.run(|_, _| {}).await.unwrap();

    assert!(to.is_master().await);
    let log = to.cli(&["ACL", "LOG"]).await;
    assert!(!log.contains("chief"), "{log}");
}

#[tokio::test]
async fn an_administrator_of_a_cluster_needs_no_other_permissions() {
    let rules = Permissions::of_bus("default").unwrap().administer();
    let chief = format!("chief on >hush {rules}");
    let cluster = Cluster::builder()
        .servers(|redis| redis.user(chief))
        .start()
        .await;
    let admin = admin(&cluster.url_as("chief", "hush"));
    let to = cluster.replica_of("tidings:{default}").await;

    let plan = admin.plan_failover(&address(to)).await.unwrap();
    plan.run(|_, _| {}).await.unwrap();

    assert!(to.is_master().await);
}

#[tokio::test]
async fn the_old_master_follows_a_replica_that_was_promoted_instead() {
    let sentinels = patient().start().await;
    look_often(&sentinels).await;
    let old = sentinels.master().await;
    let replicas = sentinels.servers().iter();
    let replicas: Vec<_> = replicas.filter(|it| it.port() != old.port()).collect();
    let (to, other) = (replicas[0], replicas[1]);
    let admin = admin(&sentinels.url());
    let plan = admin.plan_failover(&address(to)).await.unwrap();
    let later = admin.plan_failover(&address(to)).await.unwrap();
    // The plan does not know it.
    other
        .command(&["CONFIG", "SET", "replica-priority", "1"])
        .await;
    tokio::time::sleep(Duration::from_secs(3)).await;

    let error = plan.run(|_, _| {}).await.unwrap_err();

    let FailoverError::OtherPromoted {
        master, problem, ..
    } = &error
    else {
        panic!("{error}");
    };
    assert_eq!((master, problem), (&address(other), &None));
    assert!(
        !old.is_master().await,
        "it would accept writes that are lost"
    );
    let priority = to.cli(&["CONFIG", "GET", "replica-priority"]).await;
    assert!(priority.ends_with("100"), "{priority}");

    let error = later.run(|_, _| {}).await.unwrap_err().to_string();
    let expected = format!(
        "{} is no longer the master ({} is): plan again",
        address(old),
        address(other)
    );
    assert_eq!(error, expected);
}

#[tokio::test]
async fn a_failover_that_is_cancelled_before_the_pause_changes_nothing() {
    let sentinels = patient().start().await;
    let old = sentinels.master().await;
    let mut servers = sentinels.servers().iter();
    let to = servers.find(|it| it.port() != old.port()).unwrap();
    let plan = admin(&sentinels.url()).plan_failover(&address(to)).await;

    // The sentinels would notice the priority within 10 s.
    let cancelled = tokio::time::sleep(Duration::from_millis(200));
    let error = plan.unwrap().run_unless(cancelled, |_, _| {}).await;

    assert!(matches!(error, Err(FailoverError::Cancelled)), "{error:?}");
    let priority = to.cli(&["CONFIG", "GET", "replica-priority"]).await;
    assert!(priority.ends_with("100"), "{priority}");
    assert!(old.is_master().await);
}

#[tokio::test]
async fn a_user_who_may_not_demote_the_master_gets_no_plan() {
    let rules = Permissions::of_bus("default").unwrap().administer();
    for denied in ["replicaof", "client|kill"] {
        let chief = format!("chief on >hush {rules} -{denied}");
        let sentinels = patient().servers(move |redis| redis.user(chief.clone()));
        let sentinels = sentinels.start().await;
        let old = sentinels.master().await;
        let mut servers = sentinels.servers().iter();
        let to = servers.find(|it| it.port() != old.port()).unwrap();

        let admin = admin(&sentinels.url_as("chief", "hush"));
        let error = admin.plan_failover(&address(to)).await.unwrap_err();

        let text = report(&error).to_string();
        assert!(text.contains("NOPERM"), "{text}");
        assert!(text.contains("nothing was changed"), "{text}");
    }
}

#[tokio::test]
async fn a_demotion_that_fails_after_the_switch_is_in_the_report() {
    let rules = Permissions::of_bus("default").unwrap().administer();
    let chief = format!("chief on >hush {rules}");
    let sentinels = patient().servers(|redis| redis.user(chief)).start().await;
    look_often(&sentinels).await;
    let old = sentinels.master().await;
    let mut servers = sentinels.servers().iter();
    let to = servers.find(|it| it.port() != old.port()).unwrap();
    let admin = admin(&sentinels.url_as("chief", "hush"));
    let plan = admin.plan_failover(&address(to)).await.unwrap();
    old.command(&["ACL", "SETUSER", "chief", "-client|kill"])
        .await;

    let report = plan.run(|_, _| {}).await.unwrap();

    let [problem] = &report.problems[..] else {
        panic!("{report:?}");
    };
    assert!(problem.starts_with(&address(old)), "{problem}");
    assert!(problem.contains("NOPERM"), "{problem}");
    assert!(to.is_master().await);
}
