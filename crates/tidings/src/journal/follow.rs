//! The task that follows the journal, and reconnects.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tidings_codec::NodeId;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};

use crate::connection::heartbeat::Heartbeat;
use crate::connection::outage::Outage;
use crate::error::connect::ConnectError;
use crate::error::report;
use crate::journal::reader::Reader;
use crate::journal::state::JournalState;
use crate::keyspace::journal::Entry;
use crate::namespace::Namespace;
use crate::observe::health::{Counts, HealthState};
use crate::task::backoff::Delays;
use crate::task::stage::{Stage, reached};
use crate::transport::SendHalf;
use crate::transport::journal::{FollowHalf, JournalConnected, JournalTransport};

/// The lifetime below which a connection is not replaced at once.
const BRIEF: Duration = Duration::from_millis(250);

/// The task that owns the connection that follows the journal.
pub(crate) struct FollowTask {
    pub(crate) node: NodeId,
    pub(crate) namespace: Namespace,
    pub(crate) transport: Arc<dyn JournalTransport>,
    pub(crate) reader: Reader,
    /// Sends each new connection to the send task of the journal, and `None` when it is lost.
    pub(crate) sessions: mpsc::Sender<Option<SendHalf>>,
    pub(crate) health: Arc<HealthState>,
    pub(crate) heartbeat: Arc<Heartbeat>,
    pub(crate) state: Arc<JournalState>,
    pub(crate) stage: watch::Receiver<Stage>,
}

impl FollowTask {
    /// Follows the journal until the bus is closed. These are the first entries.
    pub(crate) async fn run(mut self, half: FollowHalf, entries: Vec<Entry>) {
        let mut stage = self.stage.clone();
        let sessions = self.sessions.clone();
        tokio::select! {
            () = self.keep_following(half, entries) => {}
            _ = reached(&mut stage, Stage::Leaving) => {}
            // The send task has ended, so that this bus cannot be used any more.
            () = sessions.closed() => {}
        }
    }

    async fn keep_following(&mut self, mut half: FollowHalf, entries: Vec<Entry>) {
        let mut delays = Delays::new();
        let mut entries = Some(entries);
        loop {
            let began = Instant::now();
            let following = async {
                let entries = match entries.take() {
                    Some(entries) => entries,
                    None => self.reader.resync(&mut half).await?,
                };
                self.reader.read(&mut half, entries).await
            };
            let Err(why) = following.await;
            drop(half);
            let mut outage = Outage::since(Instant::now());
            self.lost(&why).await;
            if began.elapsed() > BRIEF {
                delays = Delays::new();
            } else {
                sleep(delays.next()).await;
            }
            half = self.reconnect(&mut delays, &mut outage).await;
        }
    }

    /// Reports the loss of the connection.
    async fn lost(&mut self, why: &ConnectError) {
        tracing::warn!(
            node = %self.node,
            namespace = self.namespace.name(),
            address = self.health.address,
            why = %report(why),
            "disconnected from the journal"
        );
        self.reader.was_lost();
        self.state.store.send_replace(None);
        let _ = self.sessions.send(None).await;
        // A free slot means that the send task has received it.
        let _ = self.sessions.reserve().await;
        // A report on the lost connection must not be taken for one on the next.
        let _ = self.heartbeat.broken.notified().now_or_never();
        self.disconnected(why);
    }

    fn disconnected(&self, why: &ConnectError) {
        if self.state.meter.disconnected(report(why).to_string()) {
            self.health.journal_changed();
        }
    }

    async fn reconnect(&mut self, delays: &mut Delays, outage: &mut Outage) -> FollowHalf {
        loop {
            let appending = Arc::clone(&self.state.appending);
            match self.transport.connect_journal(appending).await {
                Ok(connected) => return self.reconnected(connected).await,
                Err(why) => self.cannot_connect(&why, outage),
            }
            sleep(delays.next()).await;
        }
    }

    fn cannot_connect(&self, why: &ConnectError, outage: &mut Outage) {
        if let Some(lasts) = outage.warning(Instant::now()) {
            tracing::warn!(
                node = %self.node,
                namespace = self.namespace.name(),
                address = self.health.address,
                ?lasts,
                why = %report(why),
                "cannot connect to the journal, trying again"
            );
        }
        self.disconnected(why);
    }

    /// Passes a new connection to the parts of the bus.
    async fn reconnected(&self, connected: JournalConnected) -> FollowHalf {
        Counts::add(&self.health.counts.reconnects, 1);
        tracing::info!(
            node = %self.node,
            namespace = self.namespace.name(),
            address = self.health.address,
            server = connected.server,
            "reconnected to the journal"
        );
        self.state.store.send_replace(Some(connected.store));
        let _ = self.sessions.send(Some(connected.sending)).await;
        self.state.meter.up(connected.server);
        self.health.journal_changed();
        connected.follow
    }
}

/// Closes the journal of the bus when the task ends or is dropped with its runtime.
impl Drop for FollowTask {
    fn drop(&mut self) {
        self.state.window.stop();
        self.state.store.send_replace(None);
        self.state.meter.close();
        // No task waits for what will not be read.
        self.state.caught_up.send_replace(true);
    }
}
