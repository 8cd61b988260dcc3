//! The task that keeps the connection to the node that has the slot.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, interval_at, sleep, sleep_until, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::error::connect::ConnectError;
use crate::error::report;
use crate::keyspace::redis::connection_number;
use crate::transport::address::{Place, address_of, shown};
use crate::transport::cluster::nodes::Nodes;
use crate::transport::cluster::slot_owner::line::{Hint, Line, Shared};
use crate::transport::server::redis_connection::driving;
use crate::transport::server::role::{Hello, Role, hello};

/// The pause between two attempts to find the node, and between two looks at the others.
const RETRY: Duration = Duration::from_millis(100);

/// The minimum time between two connections: nodes may name each other during a failover.
const BRIEF: Duration = Duration::from_millis(20);

/// The interval at which the node is asked whether it is still a master, and the timeout of that.
const CHECK: Duration = Duration::from_secs(2);

/// The time without a connection after which that is logged.
const ABSENT: Duration = Duration::from_secs(10);

/// The time for which answers of a node that was left are awaited.
const REST: Duration = Duration::from_secs(5);

/// The task.
pub(super) struct OwnerTask {
    shared: Arc<Shared>,
    hints: mpsc::Receiver<Hint>,
    /// The time of the last look at all nodes.
    looked: Instant,
    /// The time since which there is no connection, unless there is one.
    absent: Option<Instant>,
    is_absence_logged: bool,
}

/// The reason to leave a connection.
struct Left {
    why: String,
    /// The node to use now, if it is known.
    to: Option<Place>,
}

impl OwnerTask {
    pub(super) fn new(shared: Arc<Shared>, hints: mpsc::Receiver<Hint>) -> Self {
        Self {
            shared,
            hints,
            looked: Instant::now(),
            absent: None,
            is_absence_logged: false,
        }
    }

    pub(super) async fn run(mut self) {
        let finder = &self.shared.finder;
        let mut at = finder.last().owner(finder.slot).map(|node| node.at);
        loop {
            let since = Instant::now();
            match self.connect(at.take()).await {
                Ok((line, driver)) => {
                    self.log_return(&line);
                    self.shared.set(Ok(line.clone()));
                    let left = self.keep(&line, driver).await;
                    self.shared.set(Err(left.why.into()));
                    at = left.to;
                    sleep_until(since + BRIEF).await;
                }
                Err(why) => {
                    self.log_absence(&why);
                    self.shared.set(Err(why.into()));
                    sleep(RETRY).await;
                }
            }
        }
    }

    /// Connects to the node at this address, or to the one that the nodes name.
    async fn connect(
        &mut self,
        at: Option<Place>,
    ) -> Result<(Line, AbortOnDropHandle<()>), String> {
        let finder = Arc::clone(&self.shared.finder);
        let at = if let Some(at) = at {
            at
        } else {
            let nodes = self.look().await;
            let owner = nodes.owner(finder.slot);
            owner
                .ok_or_else(|| why_no_owner(&nodes.check_slots(finder.slot)))?
                .at
        };
        let connecting = finder.server.send_line(&address_of(&at), None).await;
        let line = connecting.map_err(|why| format!("{}: {}", shown(&at), report(&why)))?;
        let connected = Line {
            number: connection_number(),
            at,
            client: line.client.limited(),
            probe: line.client,
        };
        let driver = AbortOnDropHandle::new(tokio::spawn(driving(line.driver)));
        Ok((connected, driver))
    }

    /// Waits for a reason to leave the connection.
    async fn keep(&mut self, line: &Line, mut driver: AbortOnDropHandle<()>) -> Left {
        let mut checks = interval_at(Instant::now() + CHECK, CHECK);
        let lost = |what: &str| Left {
            why: format!("{} {what}", shown(&line.at)),
            to: None,
        };
        loop {
            let has_doubt = tokio::select! {
                _ = &mut driver => return lost("closed the connection"),
                hint = self.hints.recv() => match hint {
                    Some(hint) if hint.line == line.number => {
                        if let Some(to) = hint.to {
                            end_later(driver);
                            return self.moved(&to);
                        }
                        true
                    }
                    _ => false,
                },
                _ = checks.tick() => {
                    let question = hello();
                    let Ok(said) = timeout(CHECK, line.probe.query(&question)).await else {
                        return lost("does not answer");
                    };
                    said.is_ok_and(|said| matches!(Hello::of(said).role, Role::Other(_)))
                }
            };
            if has_doubt && let Some(to) = self.owner_other_than(&line.at).await {
                end_later(driver);
                return Left {
                    why: format!("{} does not have it any more", shown(&line.at)),
                    to: Some(to),
                };
            }
        }
    }

    /// Logs once that no node has the keys. The bus may stay connected, and so would not say it otherwise.
    fn log_absence(&mut self, why: &str) {
        let since = *self.absent.get_or_insert_with(Instant::now);
        if !self.is_absence_logged && since.elapsed() >= ABSENT {
            self.is_absence_logged = true;
            let channel = &*self.shared.finder.server.channel.name;
            tracing::warn!(channel, why, "cannot use the keys of the namespace");
        }
    }

    fn log_return(&mut self, line: &Line) {
        self.absent = None;
        if mem::take(&mut self.is_absence_logged) {
            let (channel, server) = (&*self.shared.finder.server.channel.name, shown(&line.at));
            tracing::info!(channel, server, "can use the keys of the namespace again");
        }
    }

    async fn look(&mut self) -> Nodes {
        let nodes = self.shared.finder.around().await;
        self.looked = Instant::now();
        nodes
    }

    /// The slot has moved to the node that is announced at `to`.
    fn moved(&self, to: &Place) -> Left {
        let to = self.shared.finder.last().translated(to);
        Left {
            why: format!("it has moved to {}", shown(&to)),
            to: Some(to),
        }
    }

    /// Asks all nodes for the one that has the slot, unless that was just done.
    async fn owner_other_than(&mut self, at: &Place) -> Option<Place> {
        if self.looked.elapsed() < RETRY {
            return None;
        }
        let owner = self.look().await.owner(self.shared.finder.slot);
        owner.map(|node| node.at).filter(|owner| owner != at)
    }
}

/// Drives a connection for [`REST`]: the answers to earlier requests may still arrive.
fn end_later(driver: AbortOnDropHandle<()>) {
    tokio::spawn(async move {
        sleep(REST).await;
        drop(driver);
    });
}

fn why_no_owner(checked: &Result<(), ConnectError>) -> String {
    match checked {
        Err(why) => report(why).to_string(),
        Ok(()) => "no node has the slot".to_owned(),
    }
}
