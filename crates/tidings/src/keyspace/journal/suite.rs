//! Tests of the journal in Redis and in memory.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, poll};
use proptest::prelude::*;

use super::fixtures::{Server, both, event, firsts, frame, journal_over, keys, run};
use super::*;
use crate::acl::Permissions;
use crate::keyspace::journal::answer::JournalError;
use tidings_codec::NodeId;

use crate::keyspace::journal::find::find;
use crate::keyspace::journal::positions::{Claim, PREDECESSORS, Taken};

/// Longer than anything takes here.
const LONG: Duration = Duration::from_secs(20);

/// Creates the journal, and appends this many frames of one event.
async fn filled(store: &dyn JournalStore, frames: u64, bytes: usize) -> Vec<JournalPosition> {
    assert!(store.create(frame(event(1), 0)).await.unwrap());
    let mut ids = vec![store.newest().await.unwrap().entries[0].id];
    for first in 2..=frames {
        let id = store.append(frame(event(first), bytes), 0).await.unwrap();
        ids.push(id.unwrap());
    }
    assert!(ids.is_sorted());
    ids
}

#[tokio::test]
async fn a_frame_is_added_only_to_a_stream_that_exists() {
    let (_server, stores) = both().await;
    for store in stores {
        assert_eq!(store.append(frame(event(1), 0), 0).await.unwrap(), None);
        assert!(store.create(frame(event(1), 0)).await.unwrap());
        assert!(!store.create(frame(event(1), 0)).await.unwrap());
        let id = store.append(frame(event(2), 0), 0).await.unwrap().unwrap();
        let page = store.newest().await.unwrap();
        assert_eq!((page.entries[0].id, firsts(&page)), (id, vec![2]));
        assert!(page.is_master && page.first < Some(id));
        assert_eq!(page.floor.unwrap().id, JournalPosition::START);
        assert_eq!(store.length().await.unwrap(), 2);
        assert!(store.bytes().await.unwrap() > 0);
        let now = store.time().await.unwrap();
        assert!(now.abs_diff(id.ms) < 60_000, "{now} {id}");
    }
}

#[tokio::test]
async fn of_two_creators_one_creates() {
    let server = Server::start().await;
    let (first, second) = (server.journal().await, server.journal().await);
    for _ in 0..20 {
        let births = futures_util::join!(
            first.create(frame(event(1), 0)),
            second.create(frame(event(1), 0)),
        );
        assert_ne!(births.0.unwrap(), births.1.unwrap());
        assert_eq!(first.length().await.unwrap(), 1);
        run::<()>(&server.client().await, "FLUSHALL").await;
    }
}

#[tokio::test]
async fn a_page_has_the_entries_after_a_position() {
    let (_server, stores) = both().await;
    for store in stores {
        let ids = filled(&*store, 5, 10).await;
        let page = store.read_after(ids[0], 2, LONG).await.unwrap();
        assert_eq!(firsts(&page), [2, 3]);
        assert_eq!(page.entries[1].id, ids[2]);
        let page = store.range(ids[1], Some(ids[3]), 9).await.unwrap();
        assert_eq!((firsts(&page), page.first), (vec![2, 3, 4], Some(ids[0])));
        let brief = Duration::from_millis(1);
        let page = store.read_after(ids[4], 2, brief).await.unwrap();
        assert!(page.entries.is_empty() && page.is_master && page.floor.is_some());

        let id = store.append(frame(event(6), 0), 2).await.unwrap().unwrap();
        let page = store.read_after(ids[4], 2, LONG).await.unwrap();
        assert_eq!((page.entries[0].id, firsts(&page)), (id, vec![6]));
        assert!(matches!(
            page.entries[0].content,
            Content::Frame { attempt: 2, .. }
        ));
    }
}

#[tokio::test]
async fn a_blocked_read_is_answered_by_the_next_frame() {
    let (server, [redis, memory]) = both().await;
    let other: Arc<dyn JournalStore> = Arc::new(server.journal().await);
    for (reader, writer) in [(redis, other), (Arc::clone(&memory), memory)] {
        let ids = filled(&*writer, 1, 0).await;
        let mut reading = reader.read_after(ids[0], 2, LONG);
        assert!(poll!(&mut reading).is_pending());
        writer.append(frame(event(2), 0), 0).await.unwrap();
        assert_eq!(firsts(&reading.await.unwrap()), [2]);
    }
}

#[tokio::test]
async fn a_foreign_entry_is_told_apart_from_others() {
    let server = Server::start().await;
    let (journal, client) = (server.journal().await, server.client().await);
    let stream = keys().stream;
    for fields in ["a b", "a c", "f b r x", "f b x 1", "f b r 1 s 2", "f b r 1"] {
        run::<()>(&client, &format!("XADD {stream} * {fields}")).await;
    }
    let page = journal
        .range(JournalPosition::START, None, 9)
        .await
        .unwrap();
    let contents = page.entries.iter().map(|entry| entry.content.clone());
    let contents: Vec<_> = contents.collect();
    for (index, content) in contents.iter().enumerate() {
        assert_eq!(matches!(content, Content::Foreign(_)), index < 5);
        assert!(!contents[..index].contains(content));
    }
    assert_eq!(page.floor, None);
    assert_eq!(page.entries[5].numbers(), None);
}

#[tokio::test]
async fn a_trim_moves_the_floor_and_keeps_the_newest_entry() {
    let (_server, stores) = both().await;
    for store in stores {
        let ids = filled(&*store, 400, 200).await;
        let before = (store.bytes().await.unwrap(), store.newest().await.unwrap());
        assert!(store.trim(ids[300]).await.unwrap());
        let page = store.range(ids[300], None, 500).await.unwrap();
        assert_eq!(firsts(&page), (301..=400).collect::<Vec<_>>());
        let floor = page.floor.unwrap();
        assert_eq!(floor.id, ids[300]);
        assert_eq!(floor.generation, before.1.floor.unwrap().generation);
        assert!(page.first > Some(ids[0]) && page.first <= Some(ids[300]));
        assert!(store.bytes().await.unwrap() < before.0);

        for lower in [ids[300], ids[3]] {
            assert!(!store.trim(lower).await.unwrap());
        }
        let beyond = ids[399].next();
        assert!(store.trim(beyond).await.unwrap());
        let page = store.newest().await.unwrap();
        assert_eq!(
            (page.entries[0].id, page.floor.unwrap().id),
            (ids[399], ids[399])
        );
        assert!(!store.trim(beyond).await.unwrap());
    }
}

#[tokio::test]
async fn a_missing_floor_is_written_above_all_that_may_have_been_trimmed() {
    let server = Server::start().await;
    let (journal, client) = (server.journal().await, server.client().await);
    assert!(!journal.trim(JournalPosition::START).await.unwrap());
    let ids = filled(&journal, 3, 0).await;
    let before = journal.newest().await.unwrap().floor.unwrap();
    for change in ["DEL", "GETDEL", "APPEND"] {
        let text = if change == "APPEND" { " x" } else { "" };
        let floor = keys().floor;
        run::<redis::Value>(&client, &format!("{change} {floor}{text}")).await;
        assert_eq!(journal.newest().await.unwrap().floor, None);
        assert!(journal.trim(JournalPosition::START).await.unwrap());
        let floor = journal.newest().await.unwrap().floor.unwrap();
        assert_eq!(floor.id, ids[2]);
        assert_ne!(floor.generation, before.generation);
    }
    assert_eq!(journal.length().await.unwrap(), 3);
}

#[tokio::test]
async fn a_trim_that_another_one_overtook_changes_nothing() {
    let server = Server::start().await;
    let (journal, client) = (server.journal().await, server.client().await);
    let connection = server.client().await;
    let overtaken = journal_over(connection.clone(), false);
    let ids = filled(&journal, 300, 200).await;
    let mut trimming = overtaken.trim(ids[150]);
    assert!(poll!(&mut trimming).is_pending());
    // What it asked first is answered.
    run::<()>(&connection, "PING").await;
    assert!(journal.trim(ids[299]).await.unwrap());
    assert!(!trimming.await.unwrap());
    assert_eq!(journal.newest().await.unwrap().floor.unwrap().id, ids[299]);
    // Nothing stays watched.
    assert!(!overtaken.trim(ids[150]).await.unwrap());
    run::<()>(&client, &format!("DEL {}", keys().floor)).await;
    assert!(overtaken.trim(ids[150]).await.unwrap());
}

#[tokio::test]
async fn a_full_redis_is_trimmed_all_the_same() {
    let server = Server::start().await;
    let (journal, client) = (server.journal().await, server.client().await);
    let ids = filled(&journal, 2_000, 2_000).await;
    let before = journal.newest().await.unwrap().floor.unwrap();
    run::<()>(&client, "CONFIG SET maxmemory 3mb").await;
    let full = |answer: Result<(), JournalError>| {
        matches!(
            answer,
            Err(JournalError::Refused {
                is_out_of_memory: true,
                ..
            })
        )
    };
    assert!(full(journal.append(frame(event(9), 0), 0).await.map(drop)));
    assert!(full(journal.trim(ids[1_800]).await.map(drop)));
    journal.trim_when_full(ids[1_800]).await.unwrap();
    let page = journal.newest().await.unwrap();
    let floor = page.floor.unwrap();
    assert_eq!(Some(floor.id), page.first);
    assert!(floor.id > ids[1_700] && floor.id <= ids[1_800]);
    assert_ne!(floor.generation, before.generation);
    assert!(
        journal
            .append(frame(event(9), 0), 0)
            .await
            .unwrap()
            .is_some()
    );
}

#[tokio::test]
async fn a_key_of_another_type_is_refused() {
    let server = Server::start().await;
    let (journal, client) = (server.journal().await, server.client().await);
    run::<()>(&client, &format!("SET {} x", keys().stream)).await;
    let words = |answer: Result<(), JournalError>| match answer {
        Err(JournalError::Refused { words, .. }) => words,
        other => panic!("{other:?}"),
    };
    for answer in [
        journal.append(frame(event(1), 0), 0).await.map(drop),
        journal.create(frame(event(1), 0)).await.map(drop),
        journal.newest().await.map(drop),
        journal
            .read_after(JournalPosition::START, 1, LONG)
            .await
            .map(drop),
        journal.trim(JournalPosition::START).await.map(drop),
    ] {
        assert!(words(answer).starts_with("WRONGTYPE"));
    }
    let checked = journal.check(Uses::default()).await.unwrap_err();
    let stream = keys().stream;
    let expected = format!("the key `{stream}` of the journal holds a string, not a stream");
    assert_eq!(checked.to_string(), expected);
}

#[tokio::test]
async fn each_missing_permission_is_named_and_the_others_are_enough() {
    let server = Server::start().await;
    let admin = server.client().await;
    let shop = || Permissions::of_bus("shop").unwrap();
    let everything = shop().confirm().durable().to_string();
    let mut set = redis::cmd("ACL");
    set.arg("SETUSER")
        .arg("shop")
        .arg(&["on", ">pass"])
        .arg(everything.split(' ').collect::<Vec<_>>());
    admin.send(&set).await.unwrap().extract_error().unwrap();
    let client = server.client().await;
    run::<()>(&client, "AUTH shop pass").await;
    let journal = journal_over(client, false);
    let uses = Uses {
        confirms: true,
        is_durable: true,
    };
    journal.check(uses).await.unwrap();
    assert_eq!(
        journal
            .range(JournalPosition::START, None, 1)
            .await
            .unwrap()
            .floor,
        None
    );
    let ids = filled(&journal, 3, 0).await;
    journal.check(uses).await.unwrap();
    assert!(journal.trim(ids[1]).await.unwrap());
    assert!(!journal.trim(ids[1]).await.unwrap());
    journal.trim_when_full(ids[2]).await.unwrap();
    assert!(journal.bytes().await.unwrap() > 0 && journal.time().await.unwrap() > 0);
    assert_eq!(journal.length().await.unwrap(), 3);
    journal.wait(0, Duration::from_millis(1)).await.unwrap();

    let commands = everything
        .split(' ')
        .filter_map(|rule| rule.strip_prefix('+'));
    for command in commands.filter(|command| !["subscribe", "publish", "role"].contains(command)) {
        run::<()>(&admin, &format!("ACL SETUSER shop -{command}")).await;
        let client = server.client().await;
        run::<()>(&client, "AUTH shop pass").await;
        let Err(JournalError::Denied { cure, .. }) = journal_over(client, false).check(uses).await
        else {
            panic!("`{command}` is not needed");
        };
        let rule = if command.contains('|') {
            format!("'+{command}'")
        } else {
            format!("+{command}")
        };
        let grant = format!("ACL SETUSER shop {rule}");
        assert!(cure.ends_with(&grant), "{cure}: {grant}");
        run::<()>(&admin, &format!("ACL SETUSER shop +{command}")).await;
    }
    // One start names all of them.
    run::<()>(&admin, "ACL SETUSER shop -xadd -memory|usage -hset -exec").await;
    let client = server.client().await;
    run::<()>(&client, "AUTH shop pass").await;
    let Err(JournalError::Denied { cure, .. }) = journal_over(client, false).check(uses).await
    else {
        panic!("the commands are not needed");
    };
    let grants = "ACL SETUSER shop +xadd '+memory|usage' +hset +exec";
    assert!(cure.ends_with(grants), "{cure}");
    run::<()>(&admin, "ACL SETUSER shop +xadd +memory|usage +hset +exec").await;
    // The role is not needed.
    run::<()>(&admin, "ACL SETUSER shop -role").await;
    assert!(journal.newest().await.unwrap().is_master);
}

#[tokio::test]
async fn a_replica_says_that_the_journal_is_elsewhere() {
    let server = Server::start().await;
    let (journal, client) = (server.journal().await, server.client().await);
    let ids = filled(&journal, 1, 0).await;
    let reader = server.journal().await;
    let mut reading = reader.read_after(ids[0], 1, LONG);
    assert!(poll!(&mut reading).is_pending());
    reader.time().now_or_never();
    run::<()>(&client, "PING").await;
    run::<()>(&client, "REPLICAOF 127.0.0.1 1").await;
    let appended = journal.append(frame(event(2), 0), 0).await;
    assert!(matches!(appended, Err(JournalError::Elsewhere(_))));
    let trimmed = journal.trim(ids[0]).await;
    assert!(matches!(trimmed, Err(JournalError::Elsewhere(_))));
    // Whether the read was blocked by then, or is done on the replica.
    match reading.await {
        Err(JournalError::Elsewhere(_) | JournalError::Lost) => {}
        other => assert!(!other.unwrap().is_master),
    }
    // It has the entries, and says that it is a replica.
    let start = JournalPosition::START;
    let page = journal.read_after(start, 1, LONG).await.unwrap();
    assert!(page.entries.len() == 1 && !page.is_master);
}

#[tokio::test]
async fn on_a_node_that_imports_the_slot_nothing_is_created_or_missed() {
    let server = Server::start().await;
    let importing = journal_over(server.client().await, true);
    let not_now = |answer: Result<(), JournalError>| {
        assert!(matches!(answer, Err(JournalError::NotNow(_))), "{answer:?}");
    };
    not_now(importing.create(frame(event(1), 0)).await.map(drop));
    not_now(importing.trim(JournalPosition::START).await.map(drop));
    not_now(importing.newest().await.map(drop));
    let brief = Duration::from_millis(1);
    let read = importing.read_after(JournalPosition::START, 1, brief);
    // This server is no node: `ASKING` itself is refused, and takes no answer of another command.
    not_now(read.await.map(drop));
    not_now(importing.append(frame(event(1), 0), 0).await.map(drop));
    let ids = filled(&server.journal().await, 2, 0).await;
    let page = importing.range(ids[0], None, 9).await.unwrap();
    assert_eq!((firsts(&page), page.is_master), (vec![1, 2], true));
    let id = importing.append(frame(event(3), 0), 1).await.unwrap();
    assert!(id > Some(ids[1]));
}

#[tokio::test]
async fn an_unanswered_frame_is_found_behind_the_last_answered_one() {
    let (_server, stores) = both().await;
    for store in stores {
        let ids = filled(&*store, 600, 0).await;
        let again = store.append(frame(event(598), 0), 1).await.unwrap();
        assert!(again > Some(ids[599]));
        let frames = vec![event(2), event(598), event(600), event(601)];
        let mut found = find(Arc::clone(&store), ids[1], frames.clone())
            .await
            .unwrap();
        found.sort_unstable();
        assert_eq!(found, [(598, ids[597]), (600, ids[599])]);
        let found = find(Arc::clone(&store), again.unwrap(), frames)
            .await
            .unwrap();
        assert!(found.is_empty());
    }
}

#[tokio::test]
async fn a_lost_connection_is_no_answer() {
    let server = Server::start().await;
    let journal = server.journal().await;
    drop(server);
    for answer in [
        journal.append(frame(event(1), 0), 0).await.map(drop),
        journal.create(frame(event(1), 0)).await.map(drop),
        journal.newest().await.map(drop),
    ] {
        assert!(matches!(answer, Err(JournalError::Lost)));
    }
}

const NAMES: [&str; 2] = ["billing", "audit"];

/// The claim of a node to a name, with a lease that does not end.
fn claim(name: &str, me: u128, lease: Duration) -> Claim {
    Claim {
        name: name.to_owned(),
        me: NodeId::new(me),
        lease,
        max_age: Duration::from_secs(9),
        max_bytes: u64::MAX,
    }
}

/// A lease of this node, after those of other nodes.
fn ours(place: Option<&str>, predecessors: &[u128]) -> Taken {
    Taken::Ours {
        place: place.map(str::to_owned),
        predecessors: predecessors.iter().copied().map(NodeId::new).collect(),
    }
}

#[tokio::test]
async fn a_durable_name_remembers_its_last_holders() {
    let (_server, stores) = both().await;
    for store in stores {
        let nodes = 1 + PREDECESSORS as u128 + 2;
        for node in 1..=nodes {
            let claim = claim("billing", node, LONG);
            store.take(&claim).await.unwrap();
            store.release(&claim, None).await.unwrap();
        }
        let last = claim("billing", nodes, LONG);
        let before: Vec<u128> = (3..nodes).rev().collect();
        // The answer to the first attempt was lost.
        for _ in 0..2 {
            assert_eq!(store.take(&last).await.unwrap(), ours(None, &before));
        }
        let stored = store.positions().await.unwrap().remove(0);
        assert_eq!(stored.holder, last.me.to_string());
        assert_eq!(stored.predecessors.len(), PREDECESSORS);
    }
}

#[tokio::test]
async fn a_durable_name_has_one_holder_whose_place_is_stored() {
    let (_server, stores) = both().await;
    for store in stores {
        for name in NAMES {
            let (one, other) = (claim(name, 1, LONG), claim(name, 2, LONG));
            let holder = one.me.to_string();
            assert_eq!(store.take(&one).await.unwrap(), ours(None, &[]));
            assert_eq!(
                store.take(&other).await.unwrap(),
                Taken::Others(holder.clone())
            );
            assert_eq!(
                store.renew(&one, Some("1-1".to_owned())).await.unwrap(),
                None
            );
            assert_eq!(store.renew(&one, None).await.unwrap(), None);
            let refused = store.renew(&other, Some("2-2".to_owned())).await.unwrap();
            assert_eq!(refused, Some(holder));
            store.release(&other, Some("2-2".to_owned())).await.unwrap();
            // A bus that starts again with its id.
            assert_eq!(store.take(&one).await.unwrap(), ours(Some("1-1"), &[]));
            store.release(&one, Some("3-3".to_owned())).await.unwrap();
            assert_eq!(store.take(&other).await.unwrap(), ours(Some("3-3"), &[1]));
            let lost = store.renew(&one, Some("4-4".to_owned())).await.unwrap();
            assert_eq!(lost, Some(other.me.to_string()));
        }
        let all = store.positions().await.unwrap();
        assert_eq!(
            all.iter().map(|one| &*one.name).collect::<Vec<_>>(),
            ["audit", "billing"]
        );
        let stored = &all[1];
        let now = store.time().await.unwrap();
        assert!(stored.until > now && stored.at.abs_diff(now) < 20_000);
        assert_eq!(stored.place.as_deref(), Some("3-3"));
        assert_eq!(
            (stored.max_age, stored.max_bytes),
            (Duration::from_secs(9), u64::MAX)
        );
        assert!(store.remove("audit").await.unwrap());
        assert!(!store.remove("audit").await.unwrap());
        assert_eq!(store.positions().await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_lease_that_ended_is_taken_by_another_node() {
    let (_server, stores) = both().await;
    for store in stores {
        let brief = Duration::from_millis(1);
        let (one, other) = (claim("billing", 1, brief), claim("billing", 2, LONG));
        store.take(&one).await.unwrap();
        store.renew(&one, Some("1-1".to_owned())).await.unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
        // Nobody else took it.
        assert_eq!(store.renew(&one, None).await.unwrap(), None);
        tokio::time::sleep(Duration::from_millis(5)).await;
        let taken = store.take(&other).await.unwrap();
        assert_eq!(taken, ours(Some("1-1"), &[1]));
        assert_eq!(
            store.renew(&one, None).await.unwrap(),
            Some(other.me.to_string())
        );
    }
}

#[tokio::test]
async fn a_lease_that_redis_lost_is_taken_again_with_the_place_of_its_holder() {
    let server = Server::start().await;
    let (journal, client) = (server.journal().await, server.client().await);
    let one = claim("billing", 1, LONG);
    journal.take(&one).await.unwrap();
    for text in ["", "HSET tidings:{shop}:journal:positions billing foreign"] {
        run::<()>(&client, "FLUSHALL").await;
        if !text.is_empty() {
            run::<()>(&client, text).await;
            assert!(journal.positions().await.unwrap().is_empty());
        }
        assert_eq!(
            journal.renew(&one, Some("1-1".to_owned())).await.unwrap(),
            None
        );
        let all = journal.positions().await.unwrap();
        assert_eq!(all[0].place.as_deref(), Some("1-1"));
    }
    // A lease that ends later than any could: the clock has gone back.
    let until = journal.time().await.unwrap() + 3_600_000;
    let mut set = redis::cmd("HSET");
    set.arg(keys().positions)
        .arg("billing")
        .arg(format!("{until} a 1 1 1 5-5"));
    client.send(&set).await.unwrap().extract_error().unwrap();
    assert_eq!(journal.take(&one).await.unwrap(), ours(Some("5-5"), &[]));
}

proptest! {
    #[test]
    fn no_answer_panics(answer in "[-+:$*_#%0-9fr\r\n]{0,80}") {
        let bytes = Bytes::from(answer.replace('f', "\r\n"));
        let _ = reply::read(bytes.clone());
        let _ = reply::range(bytes.clone());
        let _ = reply::floor(bytes.clone());
        let _ = reply::time(bytes.clone());
        let _ = reply::number(bytes.clone());
        let _ = reply::is_master(bytes);
    }
}
