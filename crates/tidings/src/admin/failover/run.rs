//! The steps of a planned failover.

use std::future::pending;
use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt;
use redis::ConnectionAddr;
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
use crate::transport::address::shown_address;

/// The time that the replica has to receive all writes, and the subscribers to receive all events.
const CATCH_UP: Duration = Duration::from_secs(3);

/// The time that the replica has to become the master.
const SWITCH: Duration = Duration::from_secs(10);

/// The time that the subscribers have to follow.
const FOLLOW: Duration = Duration::from_secs(5);

const POLL: Duration = Duration::from_millis(2);

/// The interval of questions for a list of clients.
const LIST_POLL: Duration = Duration::from_millis(20);

impl FailoverPlan {
    /// Hands over, and calls `progress` after each step, with the time since writes were paused.
    ///
    /// The writes of both servers wait until the subscribers have followed: one or two seconds. The
    /// limits are 3 s for the replica to receive all writes, 10 s for the switch, 12 s for the old master
    /// to become a replica, 5 s for the subscribers, and 4 s for each command that a server does not
    /// answer. If this process dies or the future is dropped, the writes go on within 3 s; a failover
    /// that has begun goes on, and what the old master accepts then may be lost.
    /// [`run_unless`](Self::run_unless) can be cancelled.
    ///
    /// # Errors
    ///
    /// When a server rejects a step, and when the replica does not receive all writes or does not
    /// become the master in time. [`FailoverError::is_unknown`] tells whether it still may.
    pub async fn run(
        self,
        progress: impl FnMut(FailoverStep, Duration) + Send,
    ) -> Result<FailoverReport, FailoverError> {
        self.run_unless(pending(), progress).await
    }

    /// As [`run`](Self::run), and gives up if `cancelled` is ready before writes are paused. The
    /// priority of the replica is put back. From the pause on, `cancelled` has no effect.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run), and [`FailoverError::Cancelled`].
    pub async fn run_unless(
        self,
        cancelled: impl Future<Output = ()> + Send,
        progress: impl FnMut(FailoverStep, Duration) + Send,
    ) -> Result<FailoverReport, FailoverError> {
        let mut cancelled = pin!(cancelled.fuse());
        let switch = Switch::of(&self).await?;
        let mut steps = Steps {
            began: Instant::now(),
            done: Vec::new(),
            progress,
        };
        let Some(sentinel) = &switch.sentinel else {
            if cancelled.now_or_never().is_some() {
                return Err(FailoverError::Cancelled);
            }
            return switch.hand_over(&mut steps).await;
        };
        let mut preference = Preference::of(self.priorities, &switch.replica)?;
        let preferred = tokio::select! {
            biased;
            () = &mut cancelled => Err(FailoverError::Cancelled),
            preferred = preference.begin(sentinel) => preferred,
        };
        let report = match preferred {
            Ok(()) => {
                if preference.is_new() {
                    steps.end(FailoverStep::Preferred);
                }
                switch.hand_over(&mut steps).await
            }
            Err(why) => Err(why),
        };
        preference.end(report).await
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
        Ok(Self {
            master: plan.line(&plan.master),
            replica: plan.line(&plan.replica),
            replica_id: plan.replica.node.clone().unwrap_or_default().id,
            others: plan.others.iter().map(|it| plan.line(it)).collect(),
            sentinel: plan.sentinel().await?,
            channel: plan.admin.servers.channel.clone(),
        })
    }

    async fn hand_over<P>(&self, steps: &mut Steps<P>) -> Result<FailoverReport, FailoverError>
    where
        P: FnMut(FailoverStep, Duration) + Send,
    {
        let subscribers = self.subscribers(&[&self.master, &self.replica]).await;
        let subscribers = subscribers.map_err(self.master.rejected("count the subscribers"))?;
        steps.began = Instant::now();
        let old = Pause::begin(self.paused_first()).await?;
        steps.end(FailoverStep::Paused);
        let new = match self.switch(steps).await {
            Ok(new) if new == *self.replica.at() => new,
            Ok(other) => return Err(self.follow(&other, old).await),
            Err(why) => {
                old.end().await;
                return Err(why);
            }
        };
        let mut problems = Vec::new();
        let pause = match &self.sentinel {
            Some(_) => self.move_pause(old, &new, &mut problems).await,
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
            problems,
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
    async fn move_pause(
        &self,
        old: Pause,
        new: &ConnectionAddr,
        problems: &mut Vec<String>,
    ) -> Option<Pause> {
        let paused = Pause::begin(vec![self.replica.clone()]).await;
        problems.extend(self.demote(new).await);
        old.end().await;
        let failed = |why| {
            problems.push(format!(
                "writes were not paused until the subscribers had followed: {}",
                report(&why)
            ));
        };
        paused.map_err(failed).ok()
    }

    /// Makes the old master a replica of the one that the sentinels promoted instead, before the writes
    /// that wait on it are lost.
    async fn follow(&self, other: &ConnectionAddr, old: Pause) -> FailoverError {
        let problem = self.demote(other).await;
        old.end().await;
        FailoverError::OtherPromoted {
            to: self.replica.shown(),
            master: shown_address(other),
            problem,
        }
    }

    /// Makes the old master a replica, and returns what failed.
    async fn demote(&self, new: &ConnectionAddr) -> Option<String> {
        let why = demote(&self.master, new).await.err()?;
        Some(format!(
            "{} is not a replica yet, and what was sent to it may be lost: {}",
            self.master.shown(),
            report(&why)
        ))
    }

    /// Makes the replica the master, while writes wait, and returns the new master.
    async fn switch<P>(&self, steps: &mut Steps<P>) -> Result<ConnectionAddr, FailoverError>
    where
        P: FnMut(FailoverStep, Duration) + Send,
    {
        self.catch_up().await?;
        steps.end(FailoverStep::CaughtUp);
        let (begun, asked) = self.begin().await;
        match begun {
            // Without an answer, it may have begun.
            Ok(()) | Err(ConnectError::Io { .. } | ConnectError::Lost) => {}
            Err(source) => return Err(asked.rejected("begin the failover")(source)),
        }
        let polls = Polls::within(SWITCH);
        loop {
            if let Some(new) = self.new_master().await {
                return Ok(new);
            }
            if !polls.next().await {
                break;
            }
        }
        let late = match &self.sentinel {
            Some(sentinel) => sentinel.any_successor(self.master.at()).await,
            None => None,
        };
        late.ok_or_else(|| FailoverError::NotSwitched {
            to: self.replica.shown(),
            limit: SWITCH,
        })
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
        let written = written.map_err(self.master.rejected("read the offset"))?;
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
        while !subscribers::have_all(&self.master).await && polls.after(LIST_POLL).await {}
        Ok(())
    }

    async fn has_received(&self, written: u64) -> bool {
        let replica = self.replica.replication().await;
        let offset = replica.ok().and_then(|it| it.number("slave_repl_offset"));
        offset >= Some(written)
    }

    /// Returns the master after the switch.
    async fn new_master(&self) -> Option<ConnectionAddr> {
        if let Some(sentinel) = &self.sentinel {
            // The replica closes its connections when it becomes the master: this opens one in time.
            let _ = self.replica.replication().await;
            return sentinel.successor(self.master.at()).await;
        }
        let is = |fields: Result<Fields, _>, role| {
            fields.is_ok_and(|fields| fields.get("role") == Some(role))
        };
        let is_switched = is(self.replica.replication().await, "master")
            && is(self.master.replication().await, "slave");
        is_switched.then(|| self.replica.at().clone())
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
        let mut all = 0_u64;
        for line in lines.iter().copied().chain(others) {
            let there = subscribers::count(line, &self.channel).await?;
            all = there.saturating_add(all);
        }
        Ok(Some(all))
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
        self.after(POLL).await
    }

    /// Waits for a poll after this time. Returns false if the time is over.
    async fn after(&self, interval: Duration) -> bool {
        sleep(interval).await;
        Instant::now() < self.0
    }
}
