//! All that take part in the chaos: buses of this process, nodes in processes of their own, foreign
//! programs, and one bus that watches the members.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures_util::future::join_all;
use tidings::{Bus, Departure, MemberEvent, NodeId};
use tidings_testkit::{Proxy, Redis};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::foreign::{Forged, Program, start_forger, start_sender};
use super::load::{Held, Loaded};
use super::node::{Looked, Node, Settings};
use super::tally::Tally;
use super::{INTERVAL, Outcome};
use crate::clock::micros;
use crate::oracle::{
    Books, Disturbance, Micros, Origin, Steps, Witness, check_steps, differing, may_be_gone,
};
use crate::script::Step;
use crate::traffic::{Hearer, Sent, Traffic, until};

const SENDERS: usize = 3;
const HEARERS: usize = 5;

/// How long others take a bus of this process for a member without a sign of life: the default.
const LEASE: Duration = Duration::from_secs(15);

/// The same of each node in a process of its own.
const LEASES: [Duration; 3] = [
    Duration::from_secs(4),
    Duration::from_secs(10),
    Duration::from_secs(40),
];

/// The ids of foreign senders: fixed, although they start again and again.
const FOREIGN: [NodeId; 2] = [NodeId::new(0xfeed), NodeId::new(0xbeef)];

/// How often it is seen whether everything is accounted for, and how long that may take.
const LOOK: Duration = Duration::from_millis(500);
const SETTLES_WITHIN: Duration = Duration::from_secs(10);

pub(super) struct Cast {
    /// Of the hearers, the senders and the nodes, in this order.
    pub(super) proxies: Vec<Proxy>,
    pub(super) traffic: Traffic,
    pub(super) disturbances: Vec<Disturbance>,
    nodes: Vec<Node>,
    foreign: Vec<(NodeId, Program<Sent>)>,
    forger: Option<Program<Forged>>,
    forged: Forged,
    watch: MemberWatch,
}

impl Cast {
    pub(super) async fn start(redis: &Redis, seed: u64) -> Result<Self> {
        let mut proxies = Vec::new();
        for _ in 0..HEARERS + SENDERS + LEASES.len() {
            proxies.push(Proxy::start(redis.address()).await);
        }
        let urls: Vec<_> = proxies.iter().map(Proxy::url).collect();
        let (hearers, others) = urls.split_at(HEARERS);
        let (senders, of_nodes) = others.split_at(SENDERS);
        let traffic = Traffic::start(hearers, senders, |bus| {
            bus.probe_interval(INTERVAL).lease(LEASE)
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
        // The buses of this process, the first node and the first foreign sender are left alone.
        let of_nodes = nodes.iter().skip(1).map(|node| node.sending);
        let victims = of_nodes.chain(FOREIGN.into_iter().skip(1)).collect();
        let ears = traffic.hearers[0].clone();
        let cast = Self {
            forger: Some(start_forger(&url, victims, ears, seed)),
            watch: MemberWatch::start(&url).await?,
            forged: Forged::default(),
            disturbances: Vec::new(),
            proxies,
            traffic,
            nodes,
            foreign,
        };
        cast.all_are_received().await?;
        Ok(cast)
    }

    async fn all_are_received(&self) -> Result<()> {
        let nodes = self.nodes.iter().map(|node| node.sending);
        let senders: Vec<_> = nodes.chain(FOREIGN).collect();
        let all_there = || {
            let mut hearers = self.traffic.hearers.iter();
            let hears_all = |from| hearers.all(|hearer| hearer.has_heard(from));
            senders.iter().copied().all(hears_all).then_some(())
        };
        until(all_there).await.context("not all are received")
    }

    /// The node that a step stops.
    pub(super) fn node_of(&self, step: Step) -> &Node {
        &self.nodes[step.at % self.nodes.len()]
    }

    /// Which of all that node is.
    pub(super) fn member_of(&self, step: Step) -> usize {
        HEARERS + SENDERS + step.at % self.nodes.len()
    }

    /// Waits until all buses of this process are connected; the nodes wait for theirs themselves.
    pub(super) async fn all_up(&self) -> Result<()> {
        let all_up = || self.traffic.buses().all(Bus::ready).then_some(());
        until(all_up).await.context("not all buses come back")
    }

    pub(super) async fn end_forging(&mut self) {
        if let Some(forger) = self.forger.take() {
            self.forged = forger.end().await;
        }
    }

    /// Ends all traffic and load, and accounts for all of it. The buses stay, and have nothing to do.
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
        outcome.lost = tally.books.reported + tally.books.unreported;
        outcome.notes.extend(tally.notes());
        Ok(())
    }

    /// Looks at what each subscriber received and what each process has, until all of it is in order
    /// or time is up.
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
            let looked = join_all(self.nodes.iter_mut().map(Node::look)).await;
            let looked = looked.into_iter().collect::<Result<Vec<_>>>()?;
            let held = Held::read(&mut connection).await?;
            let mut seen = tally.clone();
            let mut findings = self.check_events(sent, &looked, &mut seen);
            findings.extend(check_copies(&looked, &held, &mut seen));
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
        looked: &[Looked],
        tally: &mut Tally,
    ) -> Vec<String> {
        let hearers = self.traffic.hearers.iter().map(Hearer::witness);
        let nodes = looked.iter().map(|looked| looked.witness.clone());
        let witnesses: Vec<Witness> = hearers.chain(nodes).collect();
        let mut findings = Vec::new();
        for (id, sent) in sent {
            let origin = Origin {
                id: *id,
                fates: &sent.fates,
                begun: &sent.begun,
                restarts: FOREIGN.contains(id),
                copied: self.forged.copied.get(id),
            };
            let mut of_all = Books::default();
            for witness in &witnesses {
                of_all += origin.books(witness);
            }
            let whose = self.describe(*id);
            let what = of_all.findings().into_iter();
            findings.extend(what.map(|what| format!("of {whose}: {what}")));
            tally.books += of_all;
        }
        tally.failures = looked.iter().map(|looked| looked.failures).sum();
        findings
    }

    /// A sender, as findings name it.
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
        let hearers = self.traffic.hearers.iter().map(|hearer| hearer.bus.id());
        let senders = self.traffic.senders.iter().map(|sender| sender.bus.id());
        for (index, id) in hearers.chain(senders).enumerate() {
            members.insert(id, (index, LEASE));
        }
        for (index, node) in self.nodes.iter().enumerate() {
            let member = (HEARERS + SENDERS + index, node.lease);
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
                    format!("member {id} with a lease of {lease:?} lives and was declared gone");
                outcome.findings.push(finding);
            }
        }
    }

    /// Shuts everything down, and returns what there is to complain of.
    pub(super) async fn shut_down(self) -> Vec<String> {
        let mut complaints = self.watch.end().await;
        for ended in join_all(self.nodes.into_iter().map(Node::shut_down)).await {
            complaints.extend(ended.err().map(|error| format!("{error:#}")));
        }
        complaints.extend(self.traffic.shut_down().await);
        complaints
    }
}

fn check_copies(looked: &[Looked], held: &Held, tally: &mut Tally) -> Vec<String> {
    let mut findings = Vec::new();
    for (node, looked) in looked.iter().enumerate() {
        let copies = &looked.copies;
        for (whose, copy) in [("at hand", &copies.at_hand), ("watched", &copies.watched)] {
            let different = differing(&held.values, copy);
            tally.copies += copy.len();
            tally.differing += different.len();
            let of_node = |what| format!("node {node}, {whose}: {what}");
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

/// A bus that takes no part, and keeps who was declared gone.
struct MemberWatch {
    bus: Bus,
    gone: Arc<Mutex<Vec<(NodeId, Micros)>>>,
    task: JoinHandle<()>,
}

impl MemberWatch {
    async fn start(url: &str) -> Result<Self> {
        let bus = Bus::builder(url)
            .probe_interval(INTERVAL)
            .without_membership();
        let bus = bus.start().await?;
        let mut changes = bus.watch_members();
        let gone = Arc::new(Mutex::new(Vec::new()));
        let keeps = Arc::clone(&gone);
        let task = tokio::spawn(async move {
            while let Some(change) = changes.next().await {
                if let MemberEvent::Left {
                    member,
                    why: Departure::Vanished,
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
