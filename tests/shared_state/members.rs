//! Members: every bus knows the others, and is told of joins and leaves.

use std::time::{Duration, Instant};

use tidings::acl::Permissions;
use tidings::{
    Bus, BusBuilder, LeaveReason, Member, MemberEvent, MembersError, NodeId, RequestError,
    SendError,
};
use tidings_testkit::{Collected, Direction, Fault, Node, Proxy, Redis, wait_for};

use crate::place::Place;
use crate::shared_state::raw_redis::allow;

const LEASE: Duration = Duration::from_secs(1);

/// The wait for a lease that expires only while no renewal of another member is late.
const PATIENT: Duration = Duration::from_mins(1);

/// A lease, a renewal, and the delays of a busy machine.
const NOTICED: Duration = Duration::from_secs(3);

const SOON: Duration = Duration::from_secs(10);

/// Records the member events of a bus from now on.
fn changes(bus: &Bus) -> Collected<MemberEvent> {
    let (collected, mut changes) = (Collected::default(), bus.watch_members());
    let reported = collected.clone();
    tokio::spawn(async move {
        while let Some(change) = changes.next().await {
            reported.push(change);
        }
    });
    collected
}

fn has_joined(change: &MemberEvent, id: NodeId) -> bool {
    matches!(change, MemberEvent::Joined(member) if member.id == id)
}

/// Returns why a member left, if this event says so.
fn left(change: &MemberEvent, id: NodeId) -> Option<LeaveReason> {
    match change {
        MemberEvent::Left { member, why, .. } if member.id == id => Some(*why),
        _ => None,
    }
}

fn departures(changes: &Collected<MemberEvent>) -> Vec<(NodeId, LeaveReason)> {
    let all = changes.all();
    let departures = all.iter().filter_map(|change| match &**change {
        MemberEvent::Left { member, why, .. } => Some((member.id, *why)),
        _ => None,
    });
    departures.collect()
}

async fn wait_until_all_are_listed(by: &Bus, ids: &[NodeId]) -> Vec<Member> {
    let mut listed = Vec::new();
    wait_for("all are listed", SOON, async || {
        listed = by.members().await.unwrap_or_default();
        let is_listed = |id: &NodeId| listed.iter().any(|member| member.id == *id);
        listed.len() == ids.len() && ids.iter().all(is_listed)
    })
    .await;
    listed
}

/// Starts a member that then ends without leaving; returns its id, and the time.
async fn crash(builder: BusBuilder) -> (NodeId, Instant) {
    let (tell, reported) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let bus = runtime.block_on(async {
            let bus = builder.start().await.unwrap();
            bus.members().await.unwrap();
            bus
        });
        let id = bus.id();
        runtime.shutdown_background();
        let _ = tell.send((id, Instant::now()));
    });
    reported.await.unwrap()
}

/// The duration of a fault.
async fn let_pass(time: Duration) {
    let began = Instant::now();
    wait_for("the time passes", SOON, async || began.elapsed() >= time).await;
}

pub(crate) async fn every_member_sees_the_descriptions_of_all(place: Place) {
    let api = place.builder().name("shop-1").role("api").version("1.2");
    let api = Node::start(api).await;
    wait_until_all_are_listed(&api, &[api.id()]).await;
    let plain = Node::start(place.builder().lease(Duration::from_mins(1))).await;

    for by in [&api, &plain] {
        let listed = wait_until_all_are_listed(by, &[api.id(), plain.id()]).await;
        assert!(listed.is_sorted_by_key(|member| member.started));
        let find = |id: NodeId| listed.iter().find(|member| member.id == id).unwrap();
        let (first, second) = (find(api.id()), find(plain.id()));
        assert_eq!(first.name, "shop-1");
        assert_eq!(first.role.as_deref(), Some("api"));
        assert_eq!(first.version.as_deref(), Some("1.2"));
        assert_eq!(first.lease, Duration::from_secs(15));
        assert_eq!(second.role, None);
        assert!(second.name.starts_with("tests"), "{second:?}");
        assert_eq!(second.lease, Duration::from_mins(1));
        assert!(first.started <= second.started);
        for member in &listed {
            assert_eq!(member.pid, std::process::id());
            assert!(!member.host.is_empty());
            assert!(member.started.elapsed().unwrap() < Duration::from_mins(1));
        }
    }
}

pub(crate) async fn an_invalid_role_is_rejected(place: Place) {
    let error = place.builder().role("an api").start().await.unwrap_err();
    assert!(error.to_string().contains("`an api`"), "{error}");
}

#[tokio::test]
async fn a_start_that_fails_leaves_nothing_behind() {
    let state = std::sync::Arc::new(());
    let weak = std::sync::Arc::downgrade(&state);
    let nowhere = Bus::builder("redis://127.0.0.1:1").state(state);
    let started = nowhere.start_timeout(Duration::from_millis(100)).start();
    assert!(started.await.is_err());

    wait_for("it is freed", SOON, async || weak.strong_count() == 0).await;
}

pub(crate) async fn a_member_watch_begins_with_the_present_members(place: Place) {
    let (a, b) = place.two_nodes().await;
    wait_until_all_are_listed(&a, &[a.id(), b.id()]).await;

    for _ in 0..2 {
        let reported = changes(&a);
        reported.wait_for(|change| has_joined(change, a.id())).await;
        reported.wait_for(|change| has_joined(change, b.id())).await;
    }
}

pub(crate) async fn a_bus_that_ends_ends_its_streams(place: Place) {
    let (node, _other) = place.two_nodes().await;
    let mut changes = node.watch_members();
    assert!(changes.next().await.is_some());
    node.shutdown(SOON).await.unwrap();

    while changes.next().await.is_some() {}
    assert_eq!(node.watch_members().next().await, None);
    let error = node.members().await.unwrap_err();
    assert!(matches!(error, MembersError::Unread { .. }), "{error}");
}

pub(crate) async fn a_clean_shutdown_is_reported_as_a_leave_at_once(place: Place) {
    let (a, b) = place.two_nodes().await;
    let reported = changes(&a);
    reported.wait_for(|change| has_joined(change, b.id())).await;

    let began = Instant::now();
    b.shutdown(SOON).await.unwrap();
    reported
        .wait_for(|change| left(change, b.id()).is_some())
        .await;

    assert!(began.elapsed() < Duration::from_secs(1));
    assert_eq!(departures(&reported), [(b.id(), LeaveReason::ShutDown)]);
    wait_until_all_are_listed(&a, &[a.id()]).await;
}

pub(crate) async fn a_dropped_bus_leaves_the_member_list(place: Place) {
    let (a, b) = place.two_nodes().await;
    let (reported, id) = (changes(&a), b.id());
    reported.wait_for(|change| has_joined(change, id)).await;

    drop(b);

    reported
        .wait_for(|change| left(change, id) == Some(LeaveReason::ShutDown))
        .await;
}

pub(crate) async fn a_crashed_member_is_reported_gone_once_and_no_other_is(place: Place) {
    let builder = || place.builder().lease(LEASE);
    let (a, b) = (Node::start(builder()).await, Node::start(builder()).await);
    let reported = [changes(&a), changes(&b)];
    let (crashed, at) = crash(builder()).await;

    for reported in &reported {
        reported
            .wait_for(|change| left(change, crashed).is_some())
            .await;
        assert!(at.elapsed() < NOTICED, "after {:?}", at.elapsed());
    }

    wait_until_all_are_listed(&a, &[a.id(), b.id()]).await;
    // Any other member that were declared gone would be by now.
    let_pass(LEASE).await;
    for reported in &reported {
        assert_eq!(departures(reported), [(crashed, LeaveReason::Vanished)]);
    }
}

pub(crate) async fn a_bus_that_is_no_member_does_not_list_expired_members(place: Place) {
    let foreign = Node::start(place.builder().membership(false)).await;
    let (crashed, _) = crash(place.builder().lease(LEASE)).await;
    wait_until_all_are_listed(&foreign, &[crashed]).await;

    wait_until_all_are_listed(&foreign, &[]).await;
}

pub(crate) async fn a_bus_without_membership_is_not_listed(place: Place) {
    let member = place.node().await;
    let foreign = Node::start(place.builder().membership(false)).await;
    let reported = changes(&foreign);

    reported
        .wait_for(|change| has_joined(change, member.id()))
        .await;
    wait_until_all_are_listed(&foreign, &[member.id()]).await;
    let error = member.send_to(foreign.id(), "tick", &1).await.unwrap_err();
    assert!(matches!(error, SendError::Nobody { .. }), "{error}");

    let ticks: Collected<u64> = foreign.collect("tick");
    member.send_to_all("tick", &2).await.unwrap();
    ticks.wait_for_len(1).await;
    foreign.send_to(foreign.id(), "tick", &3).await.unwrap();
    ticks.wait_for_len(2).await;
}

pub(crate) async fn a_bus_without_membership_sends_to_members_alone(place: Place) {
    let member = place.node().await;
    let start = async || Node::start(place.builder().membership(false)).await;
    let (observer, other) = (start().await, start().await);
    let ticks: Collected<u64> = member.collect("tick");

    for nobody in [NodeId::new(7), other.id()] {
        let error = observer.send_to(nobody, "tick", &1).await.unwrap_err();
        assert!(matches!(error, SendError::Nobody { .. }), "{error}");
        let asking = observer.request::<(), _, _>(nobody, "tick", &1);
        let error = asking.await.unwrap_err();
        let is_nobody = matches!(error, RequestError::Send(SendError::Nobody { .. }));
        assert!(is_nobody, "{error}");
    }

    assert_eq!(observer.health().sent, 0);
    observer.send_to(member.id(), "tick", &1).await.unwrap();
    ticks.wait_for_len(1).await;
}

pub(crate) async fn a_send_to_no_recipient_is_an_error_and_sends_nothing(place: Place) {
    let (a, b) = place.two_nodes().await;
    let nobody = NodeId::new(7);

    for _ in 0..2 {
        let error = a.send_to(nobody, "tick", &1).await.unwrap_err();
        let SendError::Nobody { event, to } = &error else {
            panic!("{error}");
        };
        assert!(event == "tick" && to.contains(&nobody.to_string()));
    }

    assert_eq!(a.health().sent, 0);
    let ticks: Collected<u64> = b.collect("tick");
    a.send_to(b.id(), "tick", &1).await.unwrap();
    a.send_to(b.id(), "tick", &2).await.unwrap();
    ticks.wait_for_len(2).await;
}

pub(crate) async fn a_member_that_has_left_cannot_be_sent_to(place: Place) {
    let (a, b) = place.two_nodes().await;
    a.send_to(b.id(), "tick", &1).await.unwrap();

    b.shutdown(SOON).await.unwrap();

    wait_for("it is known", SOON, async || {
        let sent = a.send_to(b.id(), "tick", &1).await;
        matches!(sent, Err(SendError::Nobody { .. }))
    })
    .await;
}

pub(crate) async fn a_role_is_every_member_that_has_it(place: Place) {
    let api = || place.builder().role("api");
    let (a, b) = (Node::start(api()).await, Node::start(api()).await);
    let other = Node::start(place.builder().role("job")).await;
    let nodes = [&a, &b, &other];
    wait_until_all_are_listed(&other, &nodes.map(|node| node.id())).await;
    let received = nodes.map(|node| node.collect::<_, u64>("tick"));

    for by in nodes {
        by.send_to_role("api", "tick", &1).await.unwrap();
    }
    other.send_to_all("tick", &2).await.unwrap();

    for (node, received) in received.iter().enumerate() {
        let expected = if node < 2 { 3 } else { 0 };
        received.wait_for_len(expected + 1).await;
        let ticks = received.all().iter().filter(|tick| ***tick == 1).count();
        assert_eq!(ticks, expected, "node {node}");
    }
    let error = a.send_to_role("mailer", "tick", &1).await.unwrap_err();
    assert!(error.to_string().contains("`mailer`"), "{error}");
}

pub(crate) async fn hostile_notifications_change_nothing(place: Place) {
    let (a, b) = place.two_nodes().await;
    let reported = changes(&a);
    for node in [&a, &b] {
        reported
            .wait_for(|change| has_joined(change, node.id()))
            .await;
    }
    let long = "x".repeat(100_000);
    let nobody = NodeId::new(7);
    let b = b.id();

    for data in [
        "null".to_owned(),
        "[[[]]]".to_owned(),
        format!(r#"{{"id":"{nobody}","kind":"joined","change":1,"name":"{long}"}}"#),
        format!(
            r#"{{"id":"{nobody}","kind":"joined","change":{}}}"#,
            u64::MAX
        ),
        format!(r#"{{"id":"{nobody}","kind":"joined","change":-1}}"#),
        format!(r#"{{"id":"{long}","kind":"joined","change":2}}"#),
        format!(r#"{{"id":"{b}","kind":"bored","change":3}}"#),
        format!(r#"{{"id":"{b}","kind":"left","change":4}}"#),
        format!(r#"{{"id":"{nobody}","kind":"expired","change":5}}"#),
    ] {
        let frame = format!(r#"{{"event":"tidings.member","data":{data}}}"#);
        place.publish(frame).await;
    }
    // The queries that they caused were answered before the second of these came.
    let mut later = Vec::new();
    for _ in 0..2 {
        let node = place.node().await;
        reported
            .wait_for(|change| has_joined(change, node.id()))
            .await;
        later.push(node);
    }

    assert_eq!(reported.all().len(), 4, "{:?}", reported.all());
    assert!(a.failures().all().is_empty());
}

#[tokio::test]
async fn a_member_that_is_cut_off_is_reported_gone_and_joins_again() {
    let redis = Redis::start().await;
    let (a, b) = (
        redis.node_with(|builder| builder.lease(LEASE)).await,
        redis.node_with(|builder| builder.lease(LEASE)).await,
    );
    let reported = changes(&a);
    reported.wait_for(|change| has_joined(change, b.id())).await;
    let started = wait_until_all_are_listed(&a, &[a.id(), b.id()]).await;

    redis.cut_off(&b).await;
    reported
        .wait_for(|change| left(change, b.id()) == Some(LeaveReason::Vanished))
        .await;
    redis.restore(&b).await;

    wait_for("it has joined again", SOON, async || {
        let all = reported.all();
        all.iter().filter(|one| has_joined(one, b.id())).count() == 2
    })
    .await;
    assert_eq!(departures(&reported).len(), 1);
    // It is the same as before, including its start time.
    let again = wait_until_all_are_listed(&a, &[a.id(), b.id()]).await;
    assert_eq!(again, started);
}

#[tokio::test]
async fn a_pause_shorter_than_the_lease_is_not_a_leave() {
    let redis = Redis::start().await;
    let proxy = Proxy::start(redis.address()).await;
    let lease = Duration::from_secs(3);
    let a = Node::start(Bus::builder(&redis.url()).lease(LEASE)).await;
    let paused = Node::start(Bus::builder(&proxy.url()).lease(lease)).await;
    let reported = changes(&a);
    reported
        .wait_for(|change| has_joined(change, paused.id()))
        .await;

    for _ in 0..2 {
        proxy.set(Fault::Blackhole(Direction::Both));
        let_pass(lease * 3 / 5).await;
        proxy.set(Fault::None);
        let_pass(lease * 2 / 5).await;
    }

    assert_eq!(departures(&reported), []);
}

#[tokio::test]
async fn while_redis_is_frozen_no_member_is_reported_gone() {
    let redis = Redis::start().await;
    let builder = || Bus::builder(&redis.url()).lease(LEASE);
    let (a, b) = (Node::start(builder()).await, Node::start(builder()).await);
    let reported = [changes(&a), changes(&b)];
    for reported in &reported {
        reported.wait_for_len(2).await;
    }

    let changes = async || {
        let beats = "tidings:{default}:member-renewals";
        redis.cli(&["HGET", beats, "change"]).await
    };
    let before = changes().await;

    redis.freeze();
    let_pass(LEASE * 2).await;
    redis.resume();

    wait_until_all_are_listed(&a, &[a.id(), b.id()]).await;
    let_pass(LEASE * 3).await;
    for reported in &reported {
        assert_eq!(departures(reported), []);
    }
    // No member was off the list for a moment and back before it was reported.
    assert_eq!(changes().await, before);
    // And a crash after that is detected, once no renewal of the others is late on a busy machine.
    let (crashed, _) = crash(builder()).await;
    wait_for("the crash is reported", PATIENT, async || {
        let reported = reported[0].all();
        reported
            .iter()
            .any(|change| left(change, crashed).is_some())
    })
    .await;
}

#[tokio::test]
async fn with_different_leases_no_member_is_reported_gone_after_an_outage_of_all() {
    let redis = Redis::start().await;
    let mut members = Vec::new();
    for lease in [LEASE * 8, LEASE, LEASE] {
        let proxy = Proxy::start(redis.address()).await;
        let node = Node::start(Bus::builder(&proxy.url()).lease(lease)).await;
        node.members().await.unwrap();
        members.push((proxy, node));
    }
    let observer = redis.node().await;
    let reported = changes(&observer);
    reported.wait_for_len(4).await;

    for (proxy, _) in &members {
        proxy.set(Fault::Blackhole(Direction::Both));
    }
    let_pass(LEASE * 2).await;
    for (proxy, _) in &members {
        // Its renewal arrives at once, and others may be given up with that.
        proxy.set(Fault::None);
        let_pass(LEASE / 5).await;
    }

    let_pass(LEASE * 2).await;
    assert_eq!(departures(&reported), []);
}

#[tokio::test]
async fn the_data_loss_of_redis_is_not_a_leave() {
    let mut redis = Redis::start().await;
    let builder = || Bus::builder(&redis.url()).lease(LEASE);
    let (a, b, c) = (
        Node::start(builder()).await,
        Node::start(builder()).await,
        Node::start(builder()).await,
    );
    let ids = [&a, &b, &c].map(|node| node.id());
    let reported = [&a, &b, &c].map(|node| changes(node));
    for reported in &reported {
        reported.wait_for_len(3).await;
    }
    let before = wait_until_all_are_listed(&a, &ids).await;

    redis.restart().await;

    assert_eq!(wait_until_all_are_listed(&a, &ids).await, before);
    let_pass(LEASE * 4).await;
    for reported in &reported {
        assert_eq!(reported.all().len(), 3, "{:?}", reported.all());
    }
}

#[tokio::test]
async fn a_member_lost_with_redis_is_reported_gone_in_the_end() {
    let mut redis = Redis::start().await;
    let node = Node::start(Bus::builder(&redis.url()).lease(LEASE)).await;
    let long = Bus::builder(&redis.url()).lease(LEASE);
    let reported = changes(&node);
    let (crashed, _) = crash(long).await;
    reported
        .wait_for(|change| has_joined(change, crashed))
        .await;

    redis.restart().await;

    reported
        .wait_for(|change| left(change, crashed) == Some(LeaveReason::Vanished))
        .await;
    assert_eq!(departures(&reported).len(), 1);
}

#[tokio::test]
async fn a_user_who_may_not_be_a_member_receives_and_sends_and_is_told_the_remedy() {
    let redis = Redis::start().await;
    let rules = Permissions::of_bus("shop").unwrap().to_string();
    let mut words = vec!["ACL", "SETUSER", "shop", "on", ">hush-hush"];
    words.extend(rules.split(' '));
    redis.command(&words).await;
    let builder = || Bus::builder(&redis.url_as("shop", "hush-hush")).namespace("shop");
    let (a, b) = (Node::start(builder()).await, Node::start(builder()).await);
    let ticks: Collected<u64> = b.collect("tick");

    a.send_to_all("tick", &1).await.unwrap();
    a.send_to(b.id(), "tick", &2).await.unwrap();
    ticks.wait_for_len(2).await;

    let error = a.members().await.unwrap_err().to_string();
    assert!(error.contains("ACL SETUSER shop +evalsha"), "{error}");
    let error = a.send_to_role("api", "tick", &1).await.unwrap_err();
    assert!(matches!(error, SendError::Members { .. }), "{error}");
}

#[tokio::test]
async fn a_user_with_permission_becomes_a_member() {
    let redis = Redis::start().await;
    let permissions = Permissions::of_bus("shop").unwrap().be_member();
    allow(&redis, &permissions).await;
    let builder = || {
        let builder = Bus::builder(&redis.url_as("shop", "hush-hush"));
        builder.namespace("shop").lease(LEASE).role("api")
    };
    let (a, b) = (Node::start(builder()).await, Node::start(builder()).await);
    let reported = changes(&a);
    reported.wait_for(|change| has_joined(change, b.id())).await;

    a.send_to(b.id(), "tick", &1).await.unwrap();
    b.send_to_role("api", "tick", &1).await.unwrap();
    let (crashed, _) = crash(builder()).await;
    reported
        .wait_for(|change| left(change, crashed).is_some())
        .await;
    b.shutdown(SOON).await.unwrap();
    reported
        .wait_for(|change| left(change, b.id()) == Some(LeaveReason::ShutDown))
        .await;
}

#[tokio::test]
async fn foreign_data_under_the_keys_is_not_a_member() {
    let redis = Redis::start().await;
    let node = Node::start(Bus::builder(&redis.url()).lease(LEASE)).await;
    wait_until_all_are_listed(&node, &[node.id()]).await;
    let described = redis
        .cli(&[
            "HGET",
            "tidings:{default}:member-profiles",
            &node.id().to_string(),
        ])
        .await;
    assert!(described.contains(r#""name":"tests"#), "{described}");

    let (members, member) = (
        "tidings:{default}:members",
        "tidings:{default}:member-profiles",
    );
    for id in ["x\"y", "", "00"] {
        // A renewal in between would remove the id alone.
        redis.command(&["HSET", member, id, "{\"lease\":"]).await;
        redis.command(&["ZADD", members, "1", id]).await;
    }
    wait_until_all_are_listed(&node, &[node.id()]).await;
    wait_for("they are removed", SOON, async || {
        redis.cli(&["ZCARD", members]).await == "1" && redis.cli(&["HLEN", member]).await == "1"
    })
    .await;
    assert!(node.failures().all().is_empty());

    redis.command(&["SET", members, "text"]).await;
    let error = node.members().await.unwrap_err();
    assert!(matches!(error, MembersError::Foreign { .. }), "{error:?}");
    redis.command(&["DEL", members]).await;
    wait_until_all_are_listed(&node, &[node.id()]).await;
}

const MEMBERS: &str = "tidings:{default}:members";
const MEMBER: &str = "tidings:{default}:member-profiles";
const RENEWALS: &str = "tidings:{default}:member-renewals";

#[tokio::test]
async fn an_expired_member_list_is_removed_after_the_longest_lease() {
    let redis = Redis::start().await;
    let builder = |lease| Bus::builder(&redis.url()).lease(lease);
    let (long, _) = crash(builder(Duration::from_mins(1))).await;
    let node = Node::start(builder(LEASE)).await;
    wait_until_all_are_listed(&node, &[long, node.id()]).await;

    for key in [MEMBERS, MEMBER, RENEWALS] {
        let left: u64 = redis.cli(&["PTTL", key]).await.parse().unwrap();
        assert!((60_000..=122_000).contains(&left), "{key}: {left}");
    }
}

#[tokio::test]
async fn hundreds_of_expired_members_are_removed_with_the_next_renewal() {
    let redis = Redis::start().await;
    let node = redis.node().await;
    wait_until_all_are_listed(&node, &[node.id()]).await;
    let fill = r#"
        for i = 1, 300 do
            local lease = i <= 100 and '9999999999999999' or '1000'
            redis.call('HSET', KEYS[2], 'gone-' .. i, '{"lease":' .. lease .. '}')
            redis.call('ZADD', KEYS[1], 1, 'gone-' .. i)
        end"#;

    redis.command(&["EVAL", fill, "2", MEMBERS, MEMBER]).await;

    wait_for("they are removed", SOON, async || {
        redis.cli(&["ZCARD", MEMBERS]).await == "1"
    })
    .await;
}

#[tokio::test]
async fn a_missed_change_is_found_although_another_change_hides_it() {
    let redis = Redis::start().await;
    let builder = || Bus::builder(&redis.url()).lease(LEASE);
    let (node, other) = (Node::start(builder()).await, Node::start(builder()).await);
    let reported = changes(&node);
    reported
        .wait_for(|change| has_joined(change, other.id()))
        .await;
    let late = NodeId::new(7);
    let (id, late_id) = (other.id().to_string(), late.to_string());
    let (gone, _) = crash(builder().name("gone")).await;
    reported.wait_for(|change| has_joined(change, gone)).await;
    let described = redis
        .cli(&["HGET", MEMBER, &id])
        .await
        .replace(&id, &late_id);

    // One joins and one leaves, and both notifications are lost.
    let silently = r"
        redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
        redis.call('ZADD', KEYS[1], ARGV[4], ARGV[1])
        redis.call('ZREM', KEYS[1], ARGV[3])
        redis.call('HDEL', KEYS[2], ARGV[3])
        redis.call('HINCRBY', KEYS[3], 'change', 2)";
    let mut command = vec!["EVAL", silently, "3", MEMBERS, MEMBER, RENEWALS];
    let gone_id = gone.to_string();
    command.extend([&*late_id, &*described, &*gone_id, "9999999999999"]);
    redis.command(&command).await;

    reported.wait_for(|change| has_joined(change, late)).await;
    reported
        .wait_for(|change| left(change, gone).is_some())
        .await;
}

#[tokio::test]
async fn an_unreadable_description_causes_no_query_of_all_members() {
    let redis = Redis::start().await;
    let builder = || Bus::builder(&redis.url()).lease(LEASE);
    let nodes = [Node::start(builder()).await, Node::start(builder()).await];
    let reported = nodes.each_ref().map(|node| changes(node));
    for reported in &reported {
        reported.wait_for_len(2).await;
    }
    redis.command(&["ZADD", MEMBERS, "inf", "unreadable"]).await;
    redis.command(&["HSET", MEMBER, "unreadable", "x"]).await;
    // Only a query of all members has a range without bounds.
    let asked = async || redis.cli(&["INFO", "commandstats"]).await;
    let asked = async || {
        let all = asked().await;
        let line = all.lines().find(|line| line.starts_with("cmdstat_zrange:"));
        line.map(|line| line.split(',').next().unwrap_or_default().to_owned())
    };

    let before = asked().await;
    assert!(before.is_some());
    let_pass(LEASE * 3).await;

    assert_eq!(asked().await, before);
}

#[tokio::test]
async fn a_member_restores_its_description_after_a_foreign_write() {
    let redis = Redis::start().await;
    let builder = || Bus::builder(&redis.url()).lease(LEASE);
    let nodes = [Node::start(builder()).await, Node::start(builder()).await];
    let ids = nodes.each_ref().map(|node| node.id());
    let reported = changes(&nodes[0]);
    reported.wait_for_len(2).await;
    let id = ids[1].to_string();
    let described = redis.cli(&["HGET", MEMBER, &id]).await;

    let huge = described.replacen(':', ":99999999999999999999999", 1);
    for spoiled in ["x", "", "{}", &huge, &described.replace("tests", "other")] {
        redis.command(&["HSET", MEMBER, &id, spoiled]).await;
        wait_for("it is described again", SOON, async || {
            let now = redis.cli(&["HGET", MEMBER, &id]).await;
            now.starts_with(r#"{"started":"#)
                && now.contains(r#""name":"tests"#)
                && now.len() == described.len()
        })
        .await;
    }

    wait_until_all_are_listed(&nodes[0], &ids).await;
    assert!(departures(&reported).is_empty(), "{:?}", reported.all());
}

#[tokio::test]
async fn a_forged_outage_keeps_no_member_on_the_list() {
    let redis = Redis::start().await;
    let builder = || Bus::builder(&redis.url()).lease(LEASE);
    let node = Node::start(builder()).await;
    let (crashed, _) = crash(builder()).await;
    wait_until_all_are_listed(&node, &[node.id(), crashed]).await;

    let made_up = "99999999999999@99999999999999999";
    redis.command(&["HSET", RENEWALS, "gaps", made_up]).await;

    wait_until_all_are_listed(&node, &[node.id()]).await;
}

#[tokio::test]
async fn a_revoked_permission_is_reported_without_filling_the_acl_log() {
    let redis = Redis::start().await;
    let permissions = Permissions::of_bus("shop").unwrap().be_member();
    allow(&redis, &permissions).await;
    let builder = Bus::builder(&redis.url_as("shop", "hush-hush"));
    let node = Node::start(builder.namespace("shop").lease(LEASE)).await;
    wait_until_all_are_listed(&node, &[node.id()]).await;

    redis.command(&["ACL", "SETUSER", "shop", "-zadd"]).await;

    wait_for("it says so", SOON, async || {
        let error = node.members().await.err();
        error.is_some_and(|error| error.to_string().contains("ACL SETUSER shop"))
    })
    .await;
    let_pass(LEASE * 2).await;
    let denials = redis.cli(&["ACL", "LOG"]).await;
    let counts = denials.lines().skip_while(|line| !line.contains("count"));
    assert_eq!(counts.skip(1).map(str::trim).next(), Some("1"), "{denials}");
}

/// Redis rejects writes with the first settings, and accepts them with the second.
const REFUSES_WRITES: [(&str, &str, &str); 2] =
    [("min-replicas-to-write", "1", "0"), ("maxmemory", "1", "0")];

#[tokio::test]
async fn a_bus_started_while_redis_rejects_writes_becomes_a_member_with_a_later_renewal() {
    for (setting, refuses, takes) in REFUSES_WRITES {
        let redis = Redis::builder().config(setting, refuses).start().await;
        // Its renewals are 12 s apart.
        let bus = Node::start(Bus::builder(&redis.url()).lease(Duration::from_mins(1))).await;
        bus.members().await.unwrap_err();

        redis.command(&["CONFIG", "SET", setting, takes]).await;

        let began = Instant::now();
        wait_for("it is a member", SOON, async || {
            redis.cli(&["ZCARD", MEMBERS]).await == "1"
        })
        .await;
        let took = began.elapsed();
        assert!(took < Duration::from_secs(4), "{setting}: {took:?}");
    }
}

#[tokio::test]
async fn a_past_rejection_is_not_reported_again() {
    for (setting, refuses, takes) in REFUSES_WRITES {
        let redis = Redis::builder().config(setting, refuses).start().await;
        let bus = Node::start(Bus::builder(&redis.url())).await;
        let refused = bus.members().await.unwrap_err().to_string();
        assert!(refused.contains("redis rejected it"), "{refused}");

        redis.command(&["CONFIG", "SET", setting, takes]).await;

        let members = bus.members().await.unwrap();
        assert_eq!(members[0].id, bus.id(), "{setting}");
    }
}

#[tokio::test]
async fn while_redis_rejects_renewals_no_member_is_reported_gone() {
    for (setting, rejects, accepts) in REFUSES_WRITES {
        let redis = Redis::start().await;
        let builder = || Bus::builder(&redis.url()).role("api").lease(LEASE);
        let (a, b) = (Node::start(builder()).await, Node::start(builder()).await);
        let observer = Node::start(Bus::builder(&redis.url()).membership(false)).await;
        let reported = [&a, &observer].map(|node| changes(node));
        for reported in &reported {
            reported.wait_for_len(2).await;
        }
        redis.command(&["CONFIG", "SET", setting, rejects]).await;

        // Redis removes the keys of a list that is not renewed for 4 s.
        let began = Instant::now();
        while began.elapsed() < LEASE * 5 {
            for by in [&a, &observer] {
                match by.members().await {
                    Ok(listed) => assert_eq!(listed.len(), 2, "{:?}", began.elapsed()),
                    Err(error) => assert!(error.to_string().contains("redis rejected it")),
                }
            }
            let_pass(LEASE / 10).await;
        }
        observer.members().await.unwrap_err();
        let error = a.send_to_role("api", "tick", &1).await.unwrap_err();
        assert!(matches!(error, SendError::Members { .. }), "{error}");

        redis.command(&["CONFIG", "SET", setting, accepts]).await;
        wait_until_all_are_listed(&observer, &[a.id(), b.id()]).await;
        let_pass(LEASE * 4).await;
        for reported in &reported {
            assert_eq!(reported.all().len(), 2, "{:?}", reported.all());
        }
    }
}

#[tokio::test]
async fn a_member_whose_renewals_were_rejected_lists_all_once_they_are_accepted() {
    let redis = Redis::start().await;
    // The lease of the other one outlives the rejection.
    let builder = || Bus::builder(&redis.url());
    let (a, b) = (
        Node::start(builder().lease(LEASE)).await,
        Node::start(builder()).await,
    );
    wait_until_all_are_listed(&a, &[a.id(), b.id()]).await;
    redis
        .command(&["CONFIG", "SET", "min-replicas-to-write", "1"])
        .await;
    wait_for("its renewals are rejected", SOON, async || {
        a.members().await.is_err()
    })
    .await;

    redis
        .command(&["CONFIG", "SET", "min-replicas-to-write", "0"])
        .await;

    assert_eq!(a.members().await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_crash_is_reported_in_time_after_the_clock_of_redis_went_back() {
    let redis = Redis::start().await;
    let builder = || Bus::builder(&redis.url()).lease(LEASE);
    let node = Node::start(builder()).await;
    let reported = changes(&node);
    let (crashed, _) = crash(builder()).await;
    reported
        .wait_for(|change| has_joined(change, crashed))
        .await;

    // As if it had gone back by an hour.
    let ahead = r"
        local hour = 3600000
        for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
            redis.call('ZINCRBY', KEYS[1], hour, id)
        end
        redis.call('HINCRBY', KEYS[2], 'last', hour)";
    redis
        .command(&["EVAL", ahead, "2", MEMBERS, RENEWALS])
        .await;

    reported
        .wait_for(|change| left(change, crashed).is_some())
        .await;
    assert_eq!(departures(&reported), [(crashed, LeaveReason::Vanished)]);
}

#[tokio::test]
async fn a_bus_started_while_redis_loads_its_dataset_is_a_member_afterwards() {
    let redis = Redis::builder()
        .config("rdbcompression", "no")
        .config("key-load-delay", "60000")
        .start()
        .await;
    // While it loads, Redis answers after every 2 MiB.
    let populate = ["DEBUG", "POPULATE", "24", "key", "2097152"];
    redis.command(&populate).await;
    let is_loading = async || {
        let loading = redis.try_command(&["GET", "key:0"]).await;
        loading.is_err_and(|error| error.code() == Some("LOADING"))
    };
    let (reloading, start) = tokio::join!(redis.try_command(&["DEBUG", "RELOAD"]), async {
        wait_for("redis loads", SOON, is_loading).await;
        let bus = Node::start(Bus::builder(&redis.url())).await;
        (bus.members().await, bus)
    });
    reloading.unwrap();
    let (members, bus) = start;
    let refused = members.unwrap_err().to_string();
    assert!(refused.contains("LOADING"), "{refused}");

    let members = bus.members().await.unwrap();

    assert_eq!(members[0].id, bus.id());
    assert_eq!(bus.health().reconnects, 0);
}
