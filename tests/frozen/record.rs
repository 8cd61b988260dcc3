//! Records what this version writes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt;
use redis::aio::MultiplexedConnection;
use serde_json::{Value, json};
use tidings::BusBuilder;
use tidings_testkit::Collected;

use super::{Format, Journal, MapOptions, NAMESPACE, Redis, payload};

const FORMATS: [(&str, Format); 2] = [("json", Format::Json), ("msgpack", Format::MessagePack)];

/// Far more than the time until the last version that reads them.
const CENTURY: Duration = Duration::from_hours(100 * 365 * 24);

#[tokio::test]
#[ignore = "once for each release: see `tests/frozen/README.md`"]
async fn record_what_this_version_writes() {
    let version = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("frozen")
        .join(env!("CARGO_PKG_VERSION"));
    assert!(
        !version.exists(),
        "this version is recorded: it is never changed"
    );
    let recorded = [
        ("frames.json", frames().await),
        ("keys.json", keys().await),
        ("journal.json", journal().await),
    ];
    fs::create_dir(&version).unwrap();
    for (name, value) in recorded {
        let text = serde_json::to_string_pretty(&value).unwrap();
        fs::write(version.join(name), text + "\n").unwrap();
    }
}

/// Adds a handler that keeps what it receives.
pub(super) fn collecting(bus: BusBuilder, to: Collected<Value>) -> BusBuilder {
    bus.on("user.renamed", move |payload: Value| {
        to.push(payload);
        std::future::ready(())
    })
}

/// One event and three in one frame, with and without headers, in each codec.
async fn frames() -> Value {
    let payload = payload();
    let mut frames = BTreeMap::new();
    for (name, format) in FORMATS {
        let redis = Redis::start().await;
        let bus = redis
            .node_with(|bus| bus.namespace(NAMESPACE).format(format))
            .await;
        let channel = redis::Client::open(redis.url()).unwrap();
        let mut channel = channel.get_async_pubsub().await.unwrap();
        channel
            .subscribe(format!("tidings:{{{NAMESPACE}}}"))
            .await
            .unwrap();
        let mut sent = channel.on_message();

        let event = bus.send_to_all("user.renamed", &payload);
        event.header("tenant", "acme").await.unwrap();
        frames.insert(format!("{name}-one"), next(&mut sent).await);
        let batch = loop {
            for _ in 0..3 {
                bus.feed("user.renamed", &payload).await.unwrap();
            }
            bus.flush().await.unwrap();
            let mut fed = Vec::new();
            while fed
                .iter()
                .map(|frame: &String| super::events(frame))
                .sum::<usize>()
                < 3
            {
                fed.push(next(&mut sent).await);
            }
            // The first one may have been sent at once.
            if let Some(batch) = fed.into_iter().find(|frame| super::events(frame) > 1) {
                break batch;
            }
        };
        frames.insert(format!("{name}-batch"), batch);
        let others = bus.send_to_others("user.renamed", &payload);
        others.await.unwrap();
        frames.insert(format!("{name}-others"), next(&mut sent).await);
    }
    json!(frames)
}

/// Returns the next frame with this event.
async fn next(sent: &mut (impl StreamExt<Item = redis::Msg> + Unpin)) -> String {
    loop {
        let frame = sent.next().await.unwrap();
        let frame = frame.get_payload_bytes();
        if frame.windows(12).any(|part| part == b"user.renamed") {
            return hex(frame);
        }
    }
}

/// Each kind of key but those of a journal.
async fn keys() -> Value {
    let redis = Redis::start().await;
    for (name, format) in FORMATS {
        let node = redis
            .node_with(|bus| bus.namespace(NAMESPACE).format(format))
            .await;
        node.shared(name).unwrap().set(&payload()).await.unwrap();
        let map = node.map::<String, Value>(name).unwrap();
        map.set(&"key".to_owned(), &payload()).await.unwrap();
    }
    let node = redis.node_with(|bus| bus.namespace(NAMESPACE)).await;
    let cleared = node.shared::<Value>("cleared").unwrap();
    cleared.set(&payload()).await.unwrap();
    cleared.clear().await.unwrap();
    let options = tidings::SharedOptions::new().ttl(CENTURY);
    let expiring = node.shared_with("expiring", options).unwrap();
    expiring.set(&payload()).await.unwrap();
    let options = MapOptions::new().ttl(CENTURY).negative_ttl(CENTURY);
    let expiring = node.map_with::<String, Value>("expiring", options).unwrap();
    expiring.set(&"key".to_owned(), &payload()).await.unwrap();
    let none = node.map_with::<String, Value>("none", options).unwrap();
    let load = || async { Ok::<Option<Value>, std::convert::Infallible>(None) };
    none.get_or_load_optional(&"key".to_owned(), load)
        .await
        .unwrap();
    node.counter("visits").unwrap().add(42).await.unwrap();
    node.members().await.unwrap();
    dump(&redis).await
}

/// The stream, and the position of a durable name: in each codec, one event before it and two after.
async fn journal() -> Value {
    let redis = Redis::start().await;
    let options = Journal::default().max_age(CENTURY);
    for (name, format) in FORMATS {
        let journal = options.clone();
        let sender =
            redis.node_with(|bus| bus.namespace(NAMESPACE).format(format).journal(journal));
        let sender = sender.await;
        if name == "json" {
            let received = Collected::default();
            let (to, journal) = (received.clone(), options.clone().durable("reports"));
            let durable = redis.node_with(|bus| {
                let bus = bus.namespace(NAMESPACE).journal(journal);
                collecting(bus, to)
            });
            let durable = durable.await;
            sender
                .send_to_all("user.renamed", &payload())
                .await
                .unwrap();
            received.wait_for_len(1).await;
            durable.shutdown(Duration::from_secs(10)).await.unwrap();
        } else {
            sender
                .send_to_all("user.renamed", &payload())
                .await
                .unwrap();
        }
        for _ in 0..2 {
            sender
                .send_to_all("user.renamed", &payload())
                .await
                .unwrap();
        }
    }
    dump(&redis).await
}

/// Returns all keys with their types and contents.
async fn dump(redis: &Redis) -> Value {
    let mut connection = connection(redis).await;
    let mut keys: Vec<String> = command(&mut connection, &["KEYS", "*"]).await;
    keys.sort();
    let mut dump = BTreeMap::new();
    for key in keys {
        let kind: String = command(&mut connection, &["TYPE", &key]).await;
        let content = match &*kind {
            "string" => json!([hex(
                &command::<Vec<u8>>(&mut connection, &["GET", &key]).await
            )]),
            "hash" => words(&command::<Vec<_>>(&mut connection, &["HGETALL", &key]).await),
            "zset" => words(
                &command::<Vec<_>>(&mut connection, &["ZRANGE", &key, "0", "-1", "WITHSCORES"])
                    .await,
            ),
            "stream" => {
                let entries: Vec<(String, Vec<Vec<u8>>)> =
                    command(&mut connection, &["XRANGE", &key, "-", "+"]).await;
                let entries = entries
                    .into_iter()
                    .map(|(id, fields)| json!([id, words(&fields)]));
                entries.collect()
            }
            other => panic!("{key} is a {other}"),
        };
        dump.insert(key, json!({"type": kind, "content": content}));
    }
    json!(dump)
}

pub(super) async fn connection(redis: &Redis) -> MultiplexedConnection {
    let client = redis::Client::open(redis.url()).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

async fn command<T: redis::FromRedisValue>(
    connection: &mut MultiplexedConnection,
    words: &[&str],
) -> T {
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]);
    command.query_async(connection).await.unwrap()
}

fn words(words: &[Vec<u8>]) -> Value {
    words.iter().map(|word| json!(hex(word))).collect()
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}
