//! The participants of the chaos: buses of this process, nodes in child processes, foreign
//! programs, and a bus that watches the members.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures_util::future::join_all;
use tidings::{Bus, LeaveReason, MemberEvent, NodeId};
use tidings_testkit::{Proxy, Redis};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::foreign::{Forged, Program, start_forger, start_sender};
use super::load::{Held, Loaded};
use super::node::{Node, Settings, State};
use super::tally::Tally;
use crate::clock::micros;
use crate::oracle::{
    Audit, Disturbance, Micros, SenderLog, Steps, SubscriberLog, check_steps, differing,
    may_be_gone,
};
use crate::row::Outcome;
use crate::traffic::{Sent, Subscriber, Traffic, until};
use tidings_faults::script::{INTERVAL, Step};

const SENDERS: usize = 3;
const SUBSCRIBERS: usize = 5;

/// The lease of the buses of this process: the default.
const LEASE: Duration = Duration::from_secs(15);

/// The lease of each node.
const LEASES: [Duration; 3] = [
    Duration::from_secs(4),
    Duration::from_secs(10),
    Duration::from_secs(40),
];

/// The ids of foreign senders. They stay the same when a sender starts again.
const FOREIGN: [NodeId; 2] = [NodeId::new(0xfeed), NodeId::new(0xbeef)];

/// The interval of the checks whether every event is accounted for, and their time limit.
const LOOK: Duration = Duration::from_millis(500);
const SETTLES_WITHIN: Duration = Duration::from_secs(10);

pub(super) struct Participants {
    /// Of the subscribers, the senders and the nodes, in this order.
    pub(super) proxies: Vec<Proxy>,
    pub(super) traffic: Traffic,
    pub(super) disturbances: Vec<Disturbance>,
    nodes: Vec<Node>,
    foreign: Vec<(NodeId, Program<Sent>)>,
    forger: Option<Program<Forged>>,
    forged: Forged,
    watch: MemberObserver,
}

impl Participants {
    pub(super) async fn start(redis: &Redis, seed: u64) -> Result<Self> {
        let mut proxies = Vec::new();
        for _ in 0..SUBSCRIBERS + SENDERS + LEASES.len() {
            proxies.push(Proxy::start(redis.address()).await);
        }
        let urls: Vec<_> = proxies.iter().map(Proxy::url).collect();
        let (subscribers, others) = urls.split_at(SUBSCRIBERS);
        let (senders, of_nodes) = others.split_at(SENDERS);
        let traffic = Traffic::start(subscribers, senders, |bus| {
            bus.heartbeat_interval(INTERVAL).lease(LEASE)
        })
        .await?;
        let mut nodes = Vec::new();
        for ((url, lease), seed) in of_nodes.iter().zip(LEASES).zip(seed..) {
            let url = url.clone();
            nodes.push(Node::start(Settings { url, lease, seed }).await?);
        }
        let url = redis.url();
        let foreign = FOREIGN.into_iter().zip(seed..);
        let foreign: Vec<_> = foreign
            .map(|(id, seed)| (id, start_sender(&url, id, seed)))
            .collect();
        // No frames are forged in the names of the buses of this process, the first node and the
        // first foreign sender.
        let of_nodes = nodes.iter().skip(1).map(|node| node.sending);
        let victims = of_nodes.chain(FOREIGN.into_iter().skip(1)).collect();
        let observer = traffic.subscribers[0].clone();
        let participants = Self {
            forger: Some(start_forger(&url, victims, observer, seed)),
            watch: MemberObserver::start(&url).await?,
            forged: Forged::default(),
            disturbances: Vec::new(),
            proxies,
            traffic,
            nodes,
            foreign,
        };
        participants.all_are_received().await?;
        Ok(participants)
    }

    async fn all_are_received(&self) -> Result<()> {
        let nodes = self.nodes.iter().map(|node| node.sending);
        let senders: Vec<_> = nodes.chain(FOREIGN).collect();
        let all_there = || {
            let mut subscribers = self.traffic.subscribers.iter();
            let receives_all = |from| subscribers.all(|subscriber| subscriber.has_received(from));
            senders.iter().copied().all(receives_all).then_some(())
        };
        until(all_there)
            .await
            .context("not all senders were received")
    }

    /// The node that a step stops.
    pub(super) fn node_of(&self, step: Step) -> &Node {
        &self.nodes[step.at % self.nodes.len()]
    }

    /// The member index of that node.
    pub(super) fn member_of(&self, step: Step) -> usize {
        SUBSCRIBERS + SENDERS + step.at % self.nodes.len()
    }

    /// Waits until all buses of this process are connected; the nodes wait for theirs themselves.
    pub(super) async fn all_connected(&self) -> Result<()> {
        let all_connected = || self.traffic.buses().all(Bus::is_ready).then_some(());
        until(all_connected)
            .await
            .context("not all buses reconnected")
    }

    pub(super) async fn end_forging(&mut self) {
        if let Some(forger) = self.forger.take() {
            self.forged = forger.end().await;
        }
    }

    /// Ends all traffic and load, and audits all of it. The buses stay, idle.
    pub(super) async fn settle(&mut self, redis: &Redis, outcome: &mut Outcome) -> Result<()> {
        let mut tally = Tally {
            frames_forged: self.forged.frames,
            ..Tally::default()
        };
        let mut sent = Vec::new();
        for (id, program) in self.foreign.drain(..) {
            sent.push((id, program.end().await));
        }
        let mut loaded = Vec::new();
        for ended in join_all(self.nodes.iter_mut().map(Node::end)).await {
            let ended = ended?;
            loaded.push(ended.loaded);
            sent.push((self.nodes[loaded.len() - 1].sending, ended.sent));
        }
        let mut balance = self.traffic.settle().await;
        sent.append(&mut balance.sent);
        for (_, sent) in &sent {
            tally.add_sent(sent);
        }
        outcome.balance(balance);

        let held = self
            .account_for_all(redis, &sent, &mut tally, outcome)
            .await?;
        check_load(&loaded, &held, &mut tally, outcome);
        self.check_members(&mut tally, outcome);
        outcome.lost = tally.audit.reported + tally.audit.unreported;
        outcome.notes.extend(tally.notes());
        Ok(())
    }

    /// Audits the events and copies of each process, until there is no violation or the time is up.
    async fn account_for_all(
        &mut self,
        redis: &Redis,
        sent: &[(NodeId, Sent)],
        tally: &mut Tally,
        outcome: &mut Outcome,
    ) -> Result<Held> {
        let client = redis::Client::open(redis.url())?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        let began = Instant::now();
        loop {
            let states = join_all(self.nodes.iter_mut().map(Node::state)).await;
            let states = states.into_iter().collect::<Result<Vec<_>>>()?;
            let held = Held::read(&mut connection).await?;
            let mut seen = tally.clone();
            let mut findings = self.check_events(sent, &states, &mut seen);
            findings.extend(check_copies(&states, &held, &mut seen));
            if findings.is_empty() || began.elapsed() > SETTLES_WITHIN {
                outcome.findings.extend(findings);
                *tally = seen;
                return Ok(held);
            }
            sleep(LOOK).await;
        }
    }

    fn check_events(
        &self,
        sent: &[(NodeId, Sent)],
        states: &[State],
        tally: &mut Tally,
    ) -> Vec<String> {
        let subscribers = self.traffic.subscribers.iter().map(Subscriber::log);
        let nodes = states.iter().map(|states| states.log.clone());
        let logs: Vec<SubscriberLog> = subscribers.chain(nodes).collect();
        let mut findings = Vec::new();
        for (id, sent) in sent {
            let sender_log = SenderLog {
                id: *id,
                results: &sent.results,
                begun: &sent.begun,
                restarts: FOREIGN.contains(id),
                copied: self.forged.copied.get(id),
            };
            let mut of_all = Audit::default();
            for log in &logs {
                of_all += sender_log.audit(log);
            }
            let whose = self.describe(*id);
            let what = of_all.findings().into_iter();
            findings.extend(what.map(|what| format!("events of {whose}: {what}")));
            tally.audit += of_all;
        }
        tally.failures = states.iter().map(|states| states.failures).sum();
        findings
    }

    /// Describes a sender for a finding.
    fn describe(&self, id: NodeId) -> String {
        let is_own = |node: &Node| node.sending == id;
        let kind = match self.nodes.iter().position(is_own) {
            Some(index) => format!("node {index}"),
            None if FOREIGN.contains(&id) => "a foreign sender".to_owned(),
            None => "a sender".to_owned(),
        };
        let forged = self.forged.copied.contains_key(&id);
        format!(
            "{kind}{}",
            if forged {
                ", in whose name frames were forged"
            } else {
                ""
            }
        )
    }

    fn check_members(&self, tally: &mut Tally, outcome: &mut Outcome) {
        let mut members = HashMap::new();
        let subscribers = self
            .traffic
            .subscribers
            .iter()
            .map(|subscriber| subscriber.bus.id());
        let senders = self.traffic.senders.iter().map(|sender| sender.bus.id());
        for (index, id) in subscribers.chain(senders).enumerate() {
            members.insert(id, (index, LEASE));
        }
        for (index, node) in self.nodes.iter().enumerate() {
            let member = (SUBSCRIBERS + SENDERS + index, node.lease);
            members.extend([(node.receiving, member), (node.sending, member)]);
        }
        tally.members = members.len();
        for (id, at) in self.watch.gone() {
            let Some((member, lease)) = members.get(&id) else {
                continue;
            };
            if !may_be_gone(*member, *lease, at, &self.disturbances) {
                tally.gone += 1;
                let finding =
                    format!("member {id} with a lease of {lease:?} is alive and was declared gone");
                outcome.findings.push(finding);
            }
        }
    }

    /// Shuts everything down, and returns the errors.
    pub(super) async fn shut_down(self) -> Vec<String> {
        let mut complaints = self.watch.end().await;
        for ended in join_all(self.nodes.into_iter().map(Node::shut_down)).await {
            complaints.extend(ended.err().map(|error| format!("{error:#}")));
        }
        complaints.extend(self.traffic.shut_down().await);
        complaints
    }
}

fn check_copies(states: &[State], held: &Held, tally: &mut Tally) -> Vec<String> {
    let mut findings = Vec::new();
    for (node, states) in states.iter().enumerate() {
        let copies = &states.copies;
        for (whose, copy) in [("local", &copies.at_hand), ("watched", &copies.watched)] {
            let different = differing(&held.values, copy);
            tally.copies += copy.len();
            tally.differing += different.len();
            let of_node = |what| format!("node {node}, {whose} copy: {what}");
            findings.extend(different.into_iter().map(of_node));
        }
    }
    findings
}

fn check_load(loaded: &[Loaded], held: &Held, tally: &mut Tally, outcome: &mut Outcome) {
    let counted: Vec<Steps> = loaded.iter().map(|one| one.counted.clone()).collect();
    let updated: Vec<Steps> = loaded.iter().map(|one| one.updated.clone()).collect();
    let confirmed = |all: &[Steps]| all.iter().map(|one| one.confirmed.len() as u64).sum();
    tally.counted = confirmed(&counted);
    tally.updated = confirmed(&updated);
    tally.changes = loaded.iter().map(|one| one.changes).sum();
    tally.steps_in_doubt = counted.iter().chain(&updated).map(|one| one.in_doubt).sum();
    for (what, all, end) in [
        ("counter", counted, held.counter),
        ("value", updated, held.sum),
    ] {
        let wrong = check_steps(&all, end);
        tally.wrong_counts += wrong.len();
        let findings = wrong
            .into_iter()
            .map(|wrong| format!("the {what}: {wrong}"));
        outcome.findings.extend(findings);
    }
}

/// A bus that is no member, and records the members that were declared gone.
struct MemberObserver {
    bus: Bus,
    gone: Arc<Mutex<Vec<(NodeId, Micros)>>>,
    task: JoinHandle<()>,
}

impl MemberObserver {
    async fn start(url: &str) -> Result<Self> {
        let bus = Bus::builder(url)
            .heartbeat_interval(INTERVAL)
            .membership(false);
        let bus = bus.start().await?;
        let mut changes = bus.watch_members();
        let gone = Arc::new(Mutex::new(Vec::new()));
        let keeps = Arc::clone(&gone);
        let task = tokio::spawn(async move {
            while let Some(change) = changes.next().await {
                if let MemberEvent::Left {
                    member,
                    why: LeaveReason::Vanished,
                    ..
                } = change
                {
                    let at = micros(Instant::now());
                    let mut gone = keeps.lock().unwrap_or_else(PoisonError::into_inner);
                    gone.push((member.id, at));
                }
            }
        });
        Ok(Self { bus, gone, task })
    }

    fn gone(&self) -> Vec<(NodeId, Micros)> {
        let gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        gone.clone()
    }

    async fn end(self) -> Vec<String> {
        let shut = self.bus.shutdown(Duration::from_secs(5)).await;
        self.task.abort();
        shut.err()
            .map(|error| tidings::report(&error).to_string())
            .into_iter()
            .collect()
    }
}
