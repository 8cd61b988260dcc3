//! The recorded frames, journal entries and keys of earlier versions. Every later version reads them.
//!
//! `frozen/README.md` says how a version is added.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tidings::{Format, Journal, MapOptions, Since};
use tidings_testkit::Redis;

mod record;
mod restore;

/// The namespace of all that is recorded.
const NAMESPACE: &str = "frozen";

/// A payload with each kind of value that JSON and MessagePack share.
fn payload() -> Value {
    json!({
        "id": 7,
        "name": "Ada \u{1f34e} \"quoted\"\n",
        "price": -12.5,
        "tags": ["a", "b"],
        "of": {"nothing": null, "yes": true},
        "largest": u64::MAX,
    })
}

/// The folders of the versions.
fn versions() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("frozen");
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut versions: Vec<_> = entries.filter(|path| path.is_dir()).collect();
    versions.sort();
    assert!(!versions.is_empty());
    versions
}

fn read<T: serde::de::DeserializeOwned>(version: &Path, name: &str) -> T {
    let text = fs::read_to_string(version.join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Returns how many events a frame has.
fn events(frame: &str) -> usize {
    frame.matches(&record::hex(b"user.renamed")).count()
}

#[tokio::test]
async fn frames_of_earlier_versions_are_received() {
    for version in versions() {
        let frames: BTreeMap<String, String> = read(&version, "frames.json");
        for (name, frame) in frames {
            let redis = Redis::start().await;
            let node = redis.node_with(|bus| bus.namespace(NAMESPACE)).await;
            let failures = node.failures();
            let events = node.collect::<_, Value>("user.renamed");
            restore::publish(&redis, &frame).await;

            for event in events.wait_for_len(self::events(&frame)).await {
                assert_eq!(*event, payload(), "{name} of {}", version.display());
            }
            assert!(failures.all().is_empty(), "{name} of {}", version.display());
        }
    }
}

#[tokio::test]
async fn keys_of_earlier_versions_are_read() {
    for version in versions() {
        let redis = Redis::start().await;
        restore::keys(&redis, &read(&version, "keys.json")).await;
        let node = redis.node_with(|bus| bus.namespace(NAMESPACE)).await;

        for name in ["json", "msgpack", "expiring"] {
            let value = node.shared::<Value>(name).unwrap().get().await.unwrap();
            assert_eq!(
                value.value().map(|it| (**it).clone()),
                Some(payload()),
                "{name}"
            );
            let map = node.map::<String, Value>(name).unwrap();
            assert_eq!(
                map.get(&"key".to_owned()).await.unwrap().as_deref(),
                Some(&payload())
            );
        }
        let cleared = node
            .shared::<Value>("cleared")
            .unwrap()
            .get()
            .await
            .unwrap();
        assert!(cleared.value().is_none() && cleared.version() == 2);
        let map = node.map::<String, Value>("none").unwrap();
        let key = "key".to_owned();
        let loaded = map.get_or_load_optional(&key, || async {
            panic!("the map says that there is none")
                as Result<Option<Value>, std::convert::Infallible>
        });
        assert_eq!(loaded.await.unwrap(), None);
        assert_eq!(node.counter("visits").unwrap().get().await.unwrap(), 42);
        assert!(
            node.members()
                .await
                .unwrap()
                .iter()
                .any(|it| it.id == node.id())
        );
    }
}

#[tokio::test]
async fn journal_entries_of_earlier_versions_are_received() {
    for version in versions() {
        let redis = Redis::start().await;
        restore::keys(&redis, &read(&version, "journal.json")).await;
        // The entries are old.
        let journal = Journal::default().max_age(std::time::Duration::MAX);
        let (all, rest) = (
            tidings_testkit::Collected::default(),
            tidings_testkit::Collected::default(),
        );
        let (to_all, to_rest) = (all.clone(), rest.clone());
        let options = journal.clone().since(Since::Start);
        let from_start = redis.node_with(|bus| {
            let bus = bus.namespace(NAMESPACE).journal(options);
            record::collecting(bus, to_all)
        });
        let from_start = from_start.await;
        let durable = redis.node_with(|bus| {
            let bus = bus.namespace(NAMESPACE).journal(journal.durable("reports"));
            record::collecting(bus, to_rest)
        });
        let durable = durable.await;

        // Each codec: one event before the durable name stopped, and two after.
        for event in all.wait_for_len(6).await {
            assert_eq!(*event, payload(), "{}", version.display());
        }
        rest.wait_for_len(4).await;
        let failures = [from_start.failures().all(), durable.failures().all()];
        assert!(failures.concat().is_empty());
    }
}
