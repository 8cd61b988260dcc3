//! Redis servers for tests of the journal.

use std::future::poll_fn;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use redis::{FromRedisValue, Value};
use tidings_codec::{Format, FrameWriter, NewEvent, NodeId};
use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};

use crate::acl::{Needs, Permissions};
use crate::event::numbers::Numbers;
use crate::keyspace::journal::stream::RedisJournal;
use crate::keyspace::journal::{JournalStore, Page};
use crate::keyspace::memory::MemoryKeys;
use crate::memory::Place;
use crate::namespace::{JournalKeys, Namespace};
use crate::resp::{self, Client};

/// The maximum wait for a server.
const PATIENCE: Duration = Duration::from_secs(20);

const SCRIPT: &str = "redis-server --port 0 --save '' --unixsocket socket </dev/null & \
                      read -r _; kill -9 $!; wait";

/// A server behind a socket of its own, which ends when it is dropped.
pub(crate) struct Server {
    process: Child,
    folder: PathBuf,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let name = format!("tidings-journal-{:016x}", fastrand::u64(..));
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir(&folder).unwrap();
        // The shell ends the server when its input is closed, even if this process is killed.
        let process = Command::new("sh")
            .args(["-c", SCRIPT])
            .current_dir(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("cannot start a shell");
        let server = Self { process, folder };
        let answers = async {
            while UnixStream::connect(server.folder.join("socket"))
                .await
                .is_err()
            {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, answers).await.expect("no server");
        server
    }

    /// Connects with the greeting of a bus, and drives the connection.
    pub(crate) async fn client(&self) -> Client {
        let stream = UnixStream::connect(self.folder.join("socket"))
            .await
            .unwrap();
        let (client, mut driver) = resp::connection(Box::pin(stream));
        tokio::spawn(async move {
            // Nothing wakes it for a frame that is appended.
            let often = Duration::from_millis(1);
            while timeout(often, poll_fn(|cx| driver.poll(cx))).await.is_err() {}
        });
        client.send(redis::cmd("HELLO").arg(3)).await.unwrap();
        client
    }

    pub(crate) async fn journal(&self) -> RedisJournal {
        journal_over(self.client().await, false)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The journal over a connection.
pub(crate) fn journal_over(client: Client, is_asking: bool) -> RedisJournal {
    let needs = Needs {
        user: "shop".to_owned(),
        permissions: Permissions::of_bus("shop").unwrap().journal(),
    };
    RedisJournal::new(client, keys(), Arc::new(needs), is_asking)
}

pub(crate) fn keys() -> JournalKeys {
    Namespace::parse("shop").unwrap().journal()
}

/// A journal in Redis and one in memory.
pub(crate) async fn both() -> (Server, [Arc<dyn JournalStore>; 2]) {
    let server = Server::start().await;
    let place = Place::of(&format!("{:016x}", fastrand::u64(..)), "shop");
    let redis: Arc<dyn JournalStore> = Arc::new(server.journal().await);
    let memory = Arc::new(MemoryKeys { place });
    (server, [redis, memory])
}

/// Runs a command.
pub(crate) async fn run<T: FromRedisValue>(client: &Client, words: &str) -> T {
    let mut words = words.split(' ');
    let mut command = redis::cmd(words.next().unwrap());
    for word in words {
        command.arg(word);
    }
    let answer = client.send(&command).await.and_then(Value::extract_error);
    T::from_redis_value(answer.unwrap()).unwrap()
}

/// A frame of one event with a payload of this size.
pub(crate) fn frame(numbers: Numbers, bytes: usize) -> bytes::Bytes {
    let mut writer = FrameWriter::new(Format::Json, numbers.sender);
    for _ in 0..numbers.events {
        let payload = "x".repeat(bytes);
        let event = writer.push(NewEvent::to_all("tick"), |into| into.encode(&payload));
        event.unwrap();
    }
    writer.finish(numbers.first)
}

/// One event of a sender.
pub(crate) fn event(first: u64) -> Numbers {
    Numbers {
        sender: NodeId::new(7),
        first,
        events: 1,
    }
}

/// The first number of each entry.
pub(crate) fn firsts(page: &Page) -> Vec<u64> {
    let numbers = page
        .entries
        .iter()
        .filter_map(crate::keyspace::journal::Entry::numbers);
    numbers.map(|numbers| numbers.first).collect()
}
