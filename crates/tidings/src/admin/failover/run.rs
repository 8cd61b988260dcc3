//! The steps of a planned failover.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::admin::answers::command;
use crate::admin::failover::line::Line;
use crate::admin::failover::pause::Pause;
use crate::admin::failover::plan::FailoverPlan;
use crate::admin::failover::prefer::Preference;
use crate::admin::failover::report::{FailoverError, FailoverReport, FailoverStep};
use crate::admin::failover::sentinel::{Sentinel, demote};
use crate::admin::failover::{shard, subscribers};
use crate::admin::fields::Fields;
use crate::error::connect::ConnectError;
use crate::error::report;
use crate::namespace::channel::{Channel, PubSub};

/// The time that the replica has to receive all writes, and the subscribers to receive all events.
const CATCH_UP: Duration = Duration::from_secs(3);

/// The time that the replica has to become the master.
const SWITCH: Duration = Duration::from_secs(10);

/// The time that the subscribers have to follow.
const FOLLOW: Duration = Duration::from_secs(5);

const POLL: Duration = Duration::from_millis(2);

impl FailoverPlan {
    /// Hands over, and calls `progress` after each step, with the time since writes were paused.
    ///
    /// The writes of both servers wait until the subscribers have followed: one or two seconds, and for
    /// not much longer than 10 s if the sentinels are slow. If this process dies or the future is
    /// dropped, the writes go on within 3 s; a failover that has begun goes on.
    ///
    /// # Errors
    ///
    /// When a server rejects a step, and when the replica does not receive all writes or does not
    /// become the master in time. [`FailoverError::is_unknown`] tells whether it still may.
    pub async fn run(
        self,
        progress: impl FnMut(FailoverStep, Duration) + Send,
    ) -> Result<FailoverReport, FailoverError> {
        let switch = Switch::of(&self).await?;
        let mut steps = Steps {
            began: Instant::now(),
            done: Vec::new(),
            progress,
        };
        let Some(sentinel) = &switch.sentinel else {
            return switch.hand_over(&mut steps).await;
        };
        let master = &sentinel.master;
        let replica = &switch.replica;
        let preference =
            Preference::begin(self.priorities, replica, &sentinel.line, master).await?;
        if preference.is_new() {
            steps.end(FailoverStep::Preferred);
        }
        let report = switch.hand_over(&mut steps).await;
        preference.end().await;
        report
    }
}

/// The servers of a failover.
struct Switch {
    master: Line,
    replica: Line,
    /// The identity of the replica in a cluster.
    replica_id: String,
    /// The other replicas of the master.
    others: Vec<Line>,
    /// The sentinel that begins it; `None` in a cluster.
    sentinel: Option<Sentinel>,
    channel: Channel,
}

/// The steps that are done.
struct Steps<P> {
    began: Instant,
    done: Vec<(FailoverStep, Duration)>,
    progress: P,
}

impl<P: FnMut(FailoverStep, Duration)> Steps<P> {
    fn end(&mut self, step: FailoverStep) {
        let after = self.began.elapsed();
        self.done.push((step, after));
        (self.progress)(step, after);
    }
}

impl Switch {
    async fn of(plan: &FailoverPlan) -> Result<Self, FailoverError> {
        let master = plan.line(&plan.master);
        let sentinel = match plan.admin.servers.master() {
            Some(name) => {
                let sentinels = plan.sentinels.iter().map(|it| plan.line(it));
                Some(Sentinel::find(sentinels, name, master.at()).await?)
            }
            None => None,
        };
        Ok(Self {
            master,
            replica: plan.line(&plan.replica),
            replica_id: plan.replica.node.clone().unwrap_or_default().id,
            others: plan.others.iter().map(|it| plan.line(it)).collect(),
            sentinel,
            channel: plan.admin.servers.channel.clone(),
        })
    }

    async fn hand_over<P>(&self, steps: &mut Steps<P>) -> Result<FailoverReport, FailoverError>
    where
        P: FnMut(FailoverStep, Duration) + Send,
    {
        let subscribers = self.subscribers(&[&self.master, &self.replica]).await;
        let subscribers = subscribers.map_err(rejected("count the subscribers", &self.master))?;
        steps.began = Instant::now();
        let old = Pause::begin(self.paused_first()).await?;
        steps.end(FailoverStep::Paused);
        if let Err(why) = self.switch(steps).await {
            old.end().await;
            return Err(why);
        }
        let pause = match &self.sentinel {
            Some(_) => self.move_pause(old).await,
            None => Some(old),
        };
        steps.end(FailoverStep::Switched);
        let followed = match subscribers {
            Some(wanted) => Some(self.wait_for_subscribers(wanted).await),
            None => None,
        };
        if followed.is_some() {
            steps.end(FailoverStep::Followed);
        }
        if let Some(pause) = pause {
            pause.end().await;
        }
        steps.end(FailoverStep::Resumed);
        Ok(FailoverReport {
            steps: std::mem::take(&mut steps.done),
            subscribers,
            followed,
        })
    }

    /// The servers whose writes wait from the start. A sentinel publishes on the connection over which it
    /// would notice that the replica is the master, so that server is paused later.
    fn paused_first(&self) -> Vec<Line> {
        let replica = self.sentinel.is_none().then(|| self.replica.clone());
        [self.master.clone()].into_iter().chain(replica).collect()
    }

    /// Pauses the writes of the new master instead of those of the old one, before a sender can have
    /// found it, and makes the old one a replica.
    async fn move_pause(&self, old: Pause) -> Option<Pause> {
        let new = Pause::begin(vec![self.replica.clone()]).await;
        demote(&self.master, self.replica.at()).await;
        old.end().await;
        match new {
            Ok(new) => Some(new),
            Err(why) => {
                let why = report(&why).to_string();
                tracing::warn!(
                    why,
                    "writes are not paused until the subscribers have followed"
                );
                None
            }
        }
    }

    /// Makes the replica the master, while writes wait.
    async fn switch<P>(&self, steps: &mut Steps<P>) -> Result<(), FailoverError>
    where
        P: FnMut(FailoverStep, Duration) + Send,
    {
        self.catch_up().await?;
        steps.end(FailoverStep::CaughtUp);
        let (begun, asked) = self.begin().await;
        match begun {
            // Without an answer, it may have begun.
            Ok(()) | Err(ConnectError::Io { .. } | ConnectError::Lost) => {}
            Err(source) => return Err(rejected("begin the failover", asked)(source)),
        }
        let polls = Polls::within(SWITCH);
        while !self.is_switched().await {
            if !polls.next().await {
                return Err(FailoverError::NotSwitched {
                    to: self.replica.shown(),
                    limit: SWITCH,
                });
            }
        }
        Ok(())
    }

    /// Begins the failover, at a sentinel or at the replica.
    async fn begin(&self) -> (Result<(), ConnectError>, &Line) {
        if let Some(sentinel) = &self.sentinel {
            return (sentinel.begin().await, &sentinel.line);
        }
        let failover = command("CLUSTER FAILOVER");
        (self.replica.once(&failover).await, &self.replica)
    }

    /// Waits until the replica has all writes of the master, and the subscribers all events.
    async fn catch_up(&self) -> Result<(), FailoverError> {
        let written = self.master.replication().await;
        let written = written.map_err(rejected("read the offset", &self.master))?;
        let written = written.number("master_repl_offset").unwrap_or(u64::MAX);
        let polls = Polls::within(CATCH_UP);
        while !self.has_received(written).await {
            if !polls.next().await {
                return Err(FailoverError::NotCaughtUp {
                    to: self.replica.shown(),
                    limit: CATCH_UP,
                });
            }
        }
        // A subscriber that is too slow for this is told what it missed.
        while !subscribers::have_all(&self.master).await && polls.next().await {}
        Ok(())
    }

    async fn has_received(&self, written: u64) -> bool {
        let replica = self.replica.replication().await;
        let offset = replica.ok().and_then(|it| it.number("slave_repl_offset"));
        offset >= Some(written)
    }

    async fn is_switched(&self) -> bool {
        if let Some(sentinel) = &self.sentinel {
            // The replica closes its connections when it becomes the master: this opens one in time.
            let _ = self.replica.replication().await;
            return sentinel.names(self.replica.at()).await.unwrap_or(false);
        }
        let is = |fields: Result<Fields, _>, role| {
            fields.is_ok_and(|fields| fields.get("role") == Some(role))
        };
        is(self.replica.replication().await, "master")
            && is(self.master.replication().await, "slave")
    }

    /// Waits until as many subscribers are there as before, and returns how many are.
    async fn wait_for_subscribers(&self, wanted: u64) -> u64 {
        let (mut there, mut lines) = (0, vec![&self.replica]);
        if self.sentinel.is_none() {
            // Any node of the shard passes its events on.
            lines.push(&self.master);
        }
        let polls = Polls::within(FOLLOW);
        loop {
            // In this order: a subscriber that has not left yet must not be counted.
            let passes_on = self.passes_on().await;
            if let Ok(Some(number)) = self.subscribers(&lines).await {
                there = number;
            }
            if (passes_on && there >= wanted) || !polls.next().await {
                return there.min(wanted);
            }
        }
    }

    /// Returns true if a subscriber on any node of the shard receives what is sent through another one.
    async fn passes_on(&self) -> bool {
        if self.sentinel.is_some() {
            return true;
        }
        let others = self.others.iter().chain([&self.master]);
        let nodes: Vec<_> = others.chain([&self.replica]).collect();
        shard::is_known(&nodes, &self.replica_id).await
    }

    /// Counts the subscribers on these servers and, in a cluster, on the other replicas. `None` if the
    /// failover does not move them.
    async fn subscribers(&self, lines: &[&Line]) -> Result<Option<u64>, ConnectError> {
        let others = match (&self.sentinel, self.channel.kind) {
            (Some(_), _) => &[][..],
            (None, PubSub::Sharded) => &self.others,
            (None, PubSub::Classic) => return Ok(None),
        };
        let mut all = 0;
        for line in lines.iter().copied().chain(others) {
            all += subscribers::count(line, &self.channel).await?;
        }
        Ok(Some(all))
    }
}

fn rejected(doing: &'static str, line: &Line) -> impl FnOnce(ConnectError) -> FailoverError {
    let server = line.shown();
    move |source| FailoverError::Rejected {
        doing,
        server,
        source,
    }
}

/// Polls until a time.
struct Polls(Instant);

impl Polls {
    fn within(limit: Duration) -> Self {
        Self(Instant::now() + limit)
    }

    /// Waits for the next poll. Returns false if the time is over.
    async fn next(&self) -> bool {
        sleep(POLL).await;
        Instant::now() < self.0
    }
}
