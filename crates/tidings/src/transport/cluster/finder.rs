//! Asks the nodes of a cluster for its state: those in the address and those that others name.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join3;
use futures_util::stream::FuturesUnordered;
use redis::{FromRedisValue, InfoDict, RedisResult, Value};
use tokio::time::{Instant, timeout_at};

use crate::error::connect::ConnectError;
use crate::namespace::channel::PubSub;
use crate::resp::Client;
use crate::task::mutex::Mutex;
use crate::transport::address::{Place, address_of, shown};
use crate::transport::answers::{MOST, NoAnswer};
use crate::transport::cluster::node_line::NodeLine;
use crate::transport::cluster::nodes::{Answer, Node, Nodes, Shard, place};
use crate::transport::server::redis_connection::in_time;
use crate::transport::server::{NODE_TIMEOUT, Server};

/// The wait for the slower nodes once two have answered, and for those that they name.
const GRACE: Duration = Duration::from_millis(100);

const DOING: &str = "asking a node of the cluster";

/// Finds the nodes of a cluster.
#[derive(Debug)]
pub(in crate::transport) struct Finder {
    /// The access to a node.
    pub(in crate::transport) server: Server,
    /// The slot of the namespace.
    pub(in crate::transport) slot: u16,
    /// The nodes in the address.
    seeds: Vec<Place>,
    /// The answers of the last time.
    last: Mutex<Nodes>,
}

impl Finder {
    pub(in crate::transport) fn new(server: Server, slot: u16, seeds: Vec<Place>) -> Self {
        Self {
            server,
            slot,
            seeds,
            last: Mutex::default(),
        }
    }

    /// The kind of pub/sub.
    pub(super) fn pubsub(&self) -> PubSub {
        self.server.channel.kind
    }

    /// The answers of the last time.
    pub(super) fn last(&self) -> Nodes {
        self.last.lock().clone()
    }

    /// Asks all known nodes at once, and those that they name.
    pub(super) async fn around(&self) -> Nodes {
        let remembered: Vec<_> = self.last().places().cloned().collect();
        let known = self.seeds.iter().cloned().chain(remembered);
        let nodes = gather(known, self.slot, |place| self.ask_in_time(place)).await;
        let mut last = self.last.lock();
        // Of nodes that are all silent for a moment, the names are needed again.
        if !nodes.is_silent() || last.is_silent() {
            last.clone_from(&nodes);
        }
        nodes
    }

    async fn ask_in_time(&self, place: Place) -> (Place, Result<Answer, NoAnswer>) {
        let asked = in_time(NODE_TIMEOUT, DOING, self.ask(&place)).await;
        let said = asked.map_err(|why| NoAnswer::from(&why));
        (place, said)
    }

    async fn ask(&self, place: &Place) -> Result<Answer, ConnectError> {
        let at = address_of(place);
        let access = &self.server.access;
        let mut line = access.open(&at, None, DOING).await?;
        let (shards, id, state) = line.ask(DOING, async |line| ask_all(line).await).await?;
        let state = state.unwrap_or_default();
        Ok(Answer {
            id: id
                .ok()
                .filter(|id| !id.is_empty())
                .unwrap_or_else(|| shown(place)),
            is_up: is_up(&state),
            epoch: epoch(&state),
            shards: shards
                .iter()
                .filter_map(|shard| shard_of(shard, place))
                .collect(),
        })
    }
}

/// Asks these nodes at once, and those that they name. A single answer is not enough while others can
/// come: a bus receives on one node and sends through another.
async fn gather<A>(known: impl Iterator<Item = Place>, slot: u16, ask: impl Fn(Place) -> A) -> Nodes
where
    A: Future<Output = (Place, Result<Answer, NoAnswer>)>,
{
    let (mut nodes, mut asked) = (Nodes::default(), HashSet::new());
    let mut asking = FuturesUnordered::new();
    let mut begin = |place: Place, most: usize| {
        (asked.len() < most && asked.insert(place.clone())).then(|| ask(place))
    };
    asking.extend(known.filter_map(|place| begin(place, MOST)));
    let mut until = None;
    while let Some((place, said)) = next(&mut asking, until).await {
        nodes.put(place, said);
        let before = asking.len();
        // Those with the slot are needed, however many others there are.
        let of_slot = nodes.named_of(slot).into_iter();
        asking.extend(of_slot.filter_map(|place| begin(place, 2 * MOST)));
        let named = nodes.named().map(|node| node.at.clone());
        asking.extend(named.filter_map(|place| begin(place, MOST)));
        if nodes.are_two() && (until.is_none() || asking.len() > before) {
            until = Some(Instant::now() + GRACE);
        }
    }
    drop(asking);
    for silent in asked {
        nodes.add_silent(silent);
    }
    nodes
}

/// The replies to `CLUSTER SLOTS`, `CLUSTER MYID` or `CLUSTER NODES`, and `CLUSTER INFO`.
type Replies = (Vec<Vec<Value>>, RedisResult<String>, RedisResult<String>);

async fn ask_all(line: &Client) -> RedisResult<Replies> {
    let id = async {
        match cluster(line, "MYID").await {
            Ok(id) => Ok(id),
            // Some hosted servers do not know it.
            Err(_) => cluster(line, "NODES")
                .await
                .map(|nodes: String| myself(&nodes)),
        }
    };
    let (shards, id, state) = join3(cluster(line, "SLOTS"), id, cluster(line, "INFO")).await;
    Ok((shards?, id, state))
}

/// The identity of the node that answered `CLUSTER NODES`; empty if it is not there.
fn myself(nodes: &str) -> String {
    let mut nodes = nodes.lines().filter_map(NodeLine::parse);
    let own = nodes.find(|node| node.has_flag("myself"));
    own.map_or_else(String::new, |own| own.id.to_owned())
}

/// Runs a subcommand of `CLUSTER`.
pub(super) async fn cluster<T: FromRedisValue>(line: &Client, what: &str) -> RedisResult<T> {
    let mut question = redis::cmd("CLUSTER");
    line.query(question.arg(what)).await
}

/// Returns true if `CLUSTER INFO` says that the cluster is up.
pub(super) fn is_up(state: &str) -> bool {
    let state = InfoDict::new(state).get::<String>("cluster_state");
    state.as_deref() != Some("fail")
}

fn epoch(state: &str) -> u64 {
    let epoch = InfoDict::new(state).get("cluster_current_epoch");
    epoch.unwrap_or(0)
}

/// Parses an entry of `CLUSTER SLOTS`: the first slot, the last one, and the nodes.
fn shard_of(entry: &[Value], asked: &Place) -> Option<Shard> {
    let [first, last, nodes @ ..] = entry else {
        return None;
    };
    Some(Shard {
        slots: number(first)?..=number(last)?,
        nodes: nodes
            .iter()
            .filter_map(|node| node_of(node, asked))
            .collect(),
    })
}

/// Parses a slot or a port. The crate would cut off a number that is too large.
fn number(value: &Value) -> Option<u16> {
    i64::from_redis_value_ref(value).ok()?.try_into().ok()
}

/// Parses a node: its host, its port and its identity.
fn node_of(node: &Value, asked: &Place) -> Option<Node> {
    let Value::Array(fields) = node else {
        return None;
    };
    let host = Option::<String>::from_redis_value_ref(fields.first()?).ok()?;
    let port = number(fields.get(1)?)?;
    let at = place(&host.unwrap_or_default(), port, asked);
    let id = fields
        .get(2)
        .and_then(|id| String::from_redis_value_ref(id).ok());
    Some(Node {
        id: id.unwrap_or_else(|| shown(&at)),
        at,
    })
}

/// Waits for the next answer, until this time.
async fn next<T>(
    asking: &mut FuturesUnordered<impl Future<Output = T>>,
    until: Option<Instant>,
) -> Option<T> {
    match until {
        Some(until) => timeout_at(until, asking.next()).await.ok().flatten(),
        None => asking.next().await,
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{sleep, timeout};

    use super::*;

    fn asked() -> Place {
        ("10.0.0.1".to_owned(), 7_000)
    }

    #[test]
    fn the_reply_to_cluster_slots_is_parsed() {
        let node = |host: &str, port, id: &str| Node {
            id: id.to_owned(),
            at: (host.to_owned(), port),
        };
        for (nodes, parsed) in [
            (
                "*4\r\n+10.0.0.2\r\n:7\r\n+id\r\n*0\r\n",
                Some(node("10.0.0.2", 7, "id")),
            ),
            // The host that was asked.
            ("*3\r\n_\r\n:7\r\n+id\r\n", Some(node("10.0.0.1", 7, "id"))),
            (
                "*3\r\n$0\r\n\r\n:7\r\n+id\r\n",
                Some(node("10.0.0.1", 7, "id")),
            ),
            ("*3\r\n+?\r\n:7\r\n+id\r\n", Some(node("10.0.0.1", 7, "id"))),
            // Without an identity.
            ("*2\r\n+h\r\n:7\r\n", Some(node("h", 7, "h:7"))),
            ("*2\r\n+h\r\n:99999\r\n", None),
            ("*1\r\n+h\r\n", None),
            ("+h\r\n", None),
        ] {
            let entry = format!("*3\r\n:0\r\n:9\r\n{nodes}");
            let Ok(Value::Array(entry)) = redis::parse_redis_value(entry.as_bytes()) else {
                panic!("{nodes} is no array");
            };
            let shard = shard_of(&entry, &asked()).unwrap();
            assert_eq!(shard.slots, 0..=9);
            assert_eq!(
                shard.nodes,
                parsed.into_iter().collect::<Vec<_>>(),
                "{nodes}"
            );
        }
        assert_eq!(shard_of(&[Value::Int(-1), Value::Int(9)], &asked()), None);
    }

    #[test]
    fn a_node_finds_itself_among_the_nodes() {
        let nodes = "aa 10.0.0.1:7000@17000 master - 0 0 1 connected 0-9\n\
                     bb 10.0.0.2:7000@17000 myself,slave aa 0 0 1 connected\n";
        assert_eq!(myself(nodes), "bb");
        assert_eq!(myself("hostile\n\n x"), "");
    }

    #[test]
    fn the_state_is_parsed() {
        let state = "cluster_enabled:1\r\ncluster_state:fail\r\ncluster_current_epoch:7\r\n";
        assert!(!is_up(state));
        assert_eq!(epoch(state), 7);
        assert!(is_up("cluster_state:ok\r\n"));
        assert_eq!(epoch("cluster_current_epoch:x"), 0);
    }

    /// The nodes on the ports 1 to 3, of which the first is known. Each answers after this many
    /// milliseconds.
    async fn gathered(delays: [u64; 3]) -> Nodes {
        let node = |port: u16| Node {
            id: port.to_string(),
            at: ("h".to_owned(), port),
        };
        let shards = vec![Shard {
            slots: 0..=9,
            nodes: (1..=3).map(node).collect(),
        }];
        let ask = |place: Place| {
            let answer = Answer {
                id: place.1.to_string(),
                is_up: true,
                epoch: 1,
                shards: shards.clone(),
            };
            let delay = Duration::from_millis(delays[usize::from(place.1) - 1]);
            async move {
                let answer = timeout(NODE_TIMEOUT, sleep(delay)).await.map(|()| answer);
                (place, answer.map_err(|_| NoAnswer::yet()))
            }
        };
        gather([node(1).at].into_iter(), 5, ask).await
    }

    fn usable(nodes: &Nodes) -> Vec<u16> {
        let usable = nodes.usable(5, PubSub::Classic);
        usable.into_iter().map(|node| node.at.1).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_node_is_waited_for() {
        let began = Instant::now();
        let nodes = gathered([1, 1_500, 3_000]).await;
        assert_eq!(usable(&nodes), [1, 2]);
        assert_eq!(began.elapsed(), Duration::from_millis(1_501) + GRACE);
    }

    #[tokio::test(start_paused = true)]
    async fn nodes_that_stay_silent_are_not_waited_for_without_a_limit() {
        let began = Instant::now();
        let nodes = gathered([1, 3_000, 3_000]).await;
        assert_eq!(usable(&nodes), [1]);
        assert_eq!(began.elapsed(), NODE_TIMEOUT + Duration::from_millis(1));
    }
}
