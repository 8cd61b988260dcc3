//! Programs that are no buses: members that say what a test has them say of their contract.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tidings::{Bus, NodeId};

use crate::contract::with_hash;
use crate::fleet::{Fleet, NAMESPACE};

/// The id of the next member.
static NEXT: AtomicU64 = AtomicU64::new(7_000);

/// The number of bytes of a contract in one response.
const PART: usize = 100 << 10;

/// A program that announces a contract.
#[derive(Clone, Debug)]
pub(super) struct Program {
    name: String,
    version: String,
    hash: String,
    pub(super) contract: String,
}

/// Members of such programs.
pub(super) struct Foreign {
    /// The names of those that were asked for their contract, once for each part.
    pub(super) asked: Arc<Mutex<Vec<String>>>,
}

impl Program {
    pub(super) fn new(name: &str, version: &str, contract: &Value) -> Self {
        let text = with_hash(contract);
        let written: Value = serde_json::from_str(&text).unwrap();
        Self::announcing(name, version, written["hash"].as_str().unwrap(), text)
    }

    /// A program that announces any hash, and tells any text.
    pub(super) fn announcing(name: &str, version: &str, hash: &str, contract: String) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            hash: hash.to_owned(),
            contract,
        }
    }

    pub(super) fn hash(&self) -> &str {
        &self.hash
    }
}

/// Lists a member, which no bus needs to be.
pub(super) async fn list(fleet: &Fleet, id: NodeId, mut description: Value) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let end = (now.as_millis() + 3_600_000).to_string();
    let key = |name: &str| format!("tidings:{{{NAMESPACE}}}:{name}");
    let id = id.to_string();
    description["id"] = json!(id);
    description["lease"] = json!(15_000);
    description["pid"] = json!(7);
    let described = description.to_string();
    let redis = &fleet.redis;
    redis.command(&["ZADD", &key("members"), &end, &id]).await;
    redis
        .command(&["HSET", &key("member-profiles"), &id, &described])
        .await;
}

/// Lists a member of each program, the first of which started first, and answers for it. Its inspection
/// is otherwise that of the bus.
pub(super) async fn start(fleet: &Fleet, bus: &Bus, programs: &[Program]) -> Foreign {
    let asked = Arc::default();
    for (program, number) in programs.iter().zip(1..) {
        let id = NodeId::new(NEXT.fetch_add(1, Ordering::Relaxed).into());
        let member = Answering {
            id: id.to_string(),
            program: program.clone(),
            inspection: serde_json::to_value(bus.inspection()).unwrap(),
            responses: connect(fleet),
            sequence: 0,
            asked: Arc::clone(&asked),
        };
        // Each has a subscription: a question ends once every subscriber has responded.
        let events = subscribed(fleet);
        // Until the server ends.
        thread::spawn(move || member.run(events));
        let description = json!({ "started": number, "name": program.name, "host": "web-7",
            "version": program.version });
        list(fleet, id, description).await;
    }
    Foreign { asked }
}

fn connect(fleet: &Fleet) -> TcpStream {
    TcpStream::connect(fleet.redis.address()).unwrap()
}

fn channel() -> String {
    format!("tidings:{{{NAMESPACE}}}")
}

/// Returns a connection that receives the frames of the fleet.
fn subscribed(fleet: &Fleet) -> BufReader<TcpStream> {
    let mut events = connect(fleet);
    write!(events, "SUBSCRIBE {}\r\n", channel()).unwrap();
    let mut events = BufReader::new(events);
    let mut confirmation = String::new();
    while !confirmation.ends_with(":1\r\n") {
        assert!(events.read_line(&mut confirmation).unwrap() > 0);
    }
    events
}

/// A member that answers.
struct Answering {
    id: String,
    program: Program,
    inspection: Value,
    responses: TcpStream,
    sequence: u64,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Answering {
    fn run(mut self, mut events: BufReader<TcpStream>) {
        while let Some(frame) = next_text(&mut events) {
            let Ok(frame) = serde_json::from_str::<Value>(&frame) else {
                continue;
            };
            for event in frame["events"].as_array().into_iter().flatten() {
                let to = &event["to"];
                if to.is_null() || to == "others" || *to == *self.id {
                    self.answer(&frame["from"], event);
                }
            }
        }
    }

    fn answer(&mut self, asker: &Value, event: &Value) {
        let Some(data) = self.data(event) else {
            return;
        };
        self.sequence += 1;
        let meta = json!({ "request": event["meta"]["request"], "outcome": "handled" });
        let response =
            json!({ "event": "tidings.response", "to": asker, "data": data, "meta": meta });
        self.publish(
            &json!({ "v": 1, "from": self.id, "seq": self.sequence, "events": [response] }),
        );
    }

    /// Returns the data of a response.
    fn data(&self, event: &Value) -> Option<Value> {
        match event["event"].as_str()? {
            "tidings.inspect" => {
                let mut inspection = self.inspection.clone();
                inspection["contract"] = json!(self.program.hash);
                Some(inspection)
            }
            "tidings.contract" => {
                let name = self.program.name.clone();
                self.asked.lock().unwrap().push(name);
                let start = usize::try_from(event["data"].as_u64()?).unwrap();
                let rest = self.program.contract.get(start..).unwrap_or_default();
                let end = rest.floor_char_boundary(PART);
                Some(json!({ "text": rest[..end], "is_last": end == rest.len() }))
            }
            _ => None,
        }
    }

    fn publish(&mut self, frame: &Value) {
        let words = ["PUBLISH", &channel(), &frame.to_string()];
        let words = words.map(|word| format!("${}\r\n{word}\r\n", word.len()));
        let command = format!("*{}\r\n{}", words.len(), words.concat());
        self.responses.write_all(command.as_bytes()).unwrap();
        let mut number = [0; 64];
        let _ = self.responses.read(&mut number);
    }
}

/// Returns the next long text that the server sends: the content of a frame.
fn next_text(events: &mut BufReader<TcpStream>) -> Option<String> {
    loop {
        let mut line = String::new();
        if events.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let Some(length) = line.strip_prefix('$') else {
            continue;
        };
        let mut text = vec![0; length.trim().parse::<usize>().unwrap() + 2];
        events.read_exact(&mut text).ok()?;
        let text = String::from_utf8_lossy(&text[..text.len() - 2]).into_owned();
        if text.starts_with('{') {
            return Some(text);
        }
    }
}
