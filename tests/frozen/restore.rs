//! Puts what an earlier version wrote into a Redis.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use tidings_testkit::Redis;

use super::NAMESPACE;
use super::record::connection;

/// A key with its type, and its content as hexadecimal digits.
#[derive(Deserialize)]
pub(super) struct Key {
    r#type: String,
    content: Vec<Value>,
}

/// Publishes a frame.
pub(super) async fn publish(redis: &Redis, frame: &str) {
    let mut publish = redis::cmd("PUBLISH");
    publish
        .arg(format!("tidings:{{{NAMESPACE}}}"))
        .arg(bytes(frame));
    publish
        .exec_async(&mut connection(redis).await)
        .await
        .unwrap();
}

/// Writes all keys.
pub(super) async fn keys(redis: &Redis, keys: &BTreeMap<String, Key>) {
    let mut connection = connection(redis).await;
    for (name, key) in keys {
        for command in commands(name, key) {
            command.exec_async(&mut connection).await.unwrap();
        }
    }
}

fn commands(name: &str, key: &Key) -> Vec<redis::Cmd> {
    let content = || key.content.iter().map(|word| bytes(word.as_str().unwrap()));
    let whole = |verb: &str| {
        let mut command = redis::cmd(verb);
        command.arg(name);
        command
    };
    match &*key.r#type {
        "string" => vec![with(whole("SET"), content())],
        "hash" => vec![with(whole("HSET"), content())],
        "zset" => {
            let words: Vec<_> = content().collect();
            let pairs = words
                .chunks(2)
                .flat_map(|pair| [pair[1].clone(), pair[0].clone()]);
            vec![with(whole("ZADD"), pairs)]
        }
        "stream" => {
            let entries = key.content.iter().map(|entry| {
                let mut add = whole("XADD");
                add.arg(entry[0].as_str().unwrap());
                let fields = entry[1].as_array().unwrap().iter();
                with(add, fields.map(|word| bytes(word.as_str().unwrap())))
            });
            entries.collect()
        }
        other => panic!("{name} is a {other}"),
    }
}

fn with(mut command: redis::Cmd, words: impl Iterator<Item = Vec<u8>>) -> redis::Cmd {
    for word in words {
        command.arg(word);
    }
    command
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    let bytes = digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16));
    bytes.map(Result::unwrap).collect()
}
