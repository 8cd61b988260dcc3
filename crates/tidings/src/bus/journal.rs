//! The lane of the journal: its connections, and its own send and receive tasks.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::{mpsc, watch};

use crate::bus::Bus;
use crate::bus::start::{Parts, remember, spawn_sender};
use crate::connection::connect::{HasServer, connect};
use crate::connection::heartbeat::Heartbeat;
use crate::connection::send_task::SendTask;
use crate::error::connect::ConnectError;
use crate::error::start::StartError;
use crate::event::position::JournalPosition;
use crate::journal::begin::begin;
use crate::journal::durable::keep;
use crate::journal::follow::FollowTask;
use crate::journal::reader::Reader;
use crate::journal::state::JournalState;
use crate::journal::trim::keep_trimming;
use crate::journal::warnings::SettingsCheck;
use crate::keyspace::journal::Entry;
use crate::observe::metrics::Frames;
use crate::receive::receiver::Receiver;
use crate::receive::remembered::Remembered;
use crate::task::stage::Stage;
use crate::transport::Transport;
use crate::transport::journal::JournalConnected;

/// The lane of the journal, connected: everything that is sent from now on will be read.
pub(crate) struct Lane {
    connected: JournalConnected,
    state: Arc<JournalState>,
    reader: Reader,
    /// The first entries to hand on.
    entries: Vec<Entry>,
    heartbeat: Arc<Heartbeat>,
    remembered: Arc<Remembered>,
    /// The last entry when the bus started.
    tail: JournalPosition,
}

impl HasServer for Lane {
    fn server(&self) -> &str {
        &self.connected.server
    }
}

impl Lane {
    /// Connects to the journal for the first time, if the bus has one.
    pub(crate) async fn connect_first(
        parts: &Parts,
        transport: &dyn Transport,
        timeout: Option<Duration>,
        heartbeat_interval: Duration,
    ) -> Result<Option<Self>, StartError> {
        let Some(state) = &parts.journal else {
            return Ok(None);
        };
        let this = (parts.me, &parts.namespace);
        let connect_once = || Self::connect(parts, transport, state, heartbeat_interval).boxed();
        let lane = connect(transport, this, timeout, connect_once).await?;
        Ok(Some(lane))
    }

    /// Connects to the journal, and finds the position at which this bus begins to read.
    async fn connect(
        parts: &Parts,
        transport: &dyn Transport,
        state: &Arc<JournalState>,
        heartbeat_interval: Duration,
    ) -> Result<Self, ConnectError> {
        let mut connected = transport
            .connect_journal(Arc::clone(&state.appending))
            .await?;
        let (followed, tail) = begin(&mut connected, state, (parts.me, parts.format)).await?;
        let heartbeat = Arc::new(Heartbeat::new(heartbeat_interval));
        let remembered = Arc::default();
        let receiver = Receiver::new(
            parts.me,
            Arc::clone(&parts.dispatcher),
            Arc::clone(&state.window),
            Arc::clone(&parts.reports),
            Arc::clone(&parts.health.counts),
            Arc::clone(&remembered),
            false,
        );
        let beginning = (followed, tail);
        let state = Arc::clone(state);
        let mut reader = Reader::new(
            receiver,
            beginning,
            Arc::clone(&heartbeat),
            Arc::clone(&state),
        );
        // Begins at the stored place, if this bus is the reader of its durable name.
        reader.change_role();
        let entries = reader.resync(&mut connected.follow).await?;
        Ok(Self {
            connected,
            state,
            reader,
            entries,
            heartbeat,
            remembered,
            tail,
        })
    }

    /// Starts the tasks of the lane.
    pub(crate) fn run(
        self,
        parts: &Parts,
        bus: &Bus,
        transport: &Arc<dyn Transport>,
        stages: &watch::Receiver<Stage>,
    ) {
        let JournalConnected {
            follow,
            sending,
            store,
            server,
        } = self.connected;
        self.state.meter.up(server);
        self.state.store.send_replace(Some(store));
        let (sessions, for_sender) = mpsc::channel(1);
        let sender = SendTask {
            me: parts.me,
            format: parts.format,
            outgoing: Arc::clone(&self.state.outgoing),
            window: Arc::clone(&self.state.window),
            _reports: Arc::clone(&parts.open_reports),
            counts: Arc::clone(&parts.health.counts),
            frames: Frames::sent(),
            heartbeat: Arc::clone(&self.heartbeat),
            sessions: for_sender,
            stage: stages.clone(),
            states_position: !self.state.options.follow_only,
        };
        let state = Arc::clone(&self.state);
        let following = FollowTask {
            node: parts.me,
            namespace: parts.namespace.clone(),
            transport: Arc::clone(transport),
            reader: self.reader,
            sessions,
            health: Arc::clone(&parts.health),
            heartbeat: self.heartbeat,
            state: self.state,
            stage: stages.clone(),
        };
        let sending = sender.run(sending, self.tail);
        spawn_sender(bus, &state.outgoing, sending);
        let following = following.run(follow, self.entries);
        bus.inner.add_task(tokio::spawn(following));
        if let Some(durable) = state.durable.clone() {
            let keeping = keep(durable, state.store.subscribe(), stages.clone());
            bus.inner.add_task(tokio::spawn(keeping));
        }
        // A bus without a limit leaves the size of the journal to others, as the command line does.
        if !state.options.follow_only && state.options.max_bytes < u64::MAX {
            let check = SettingsCheck {
                node: parts.me,
                namespace: parts.namespace.clone(),
                address: transport.address(),
                topology: transport.topology(),
                state: Arc::clone(&state),
                stage: stages.clone(),
            };
            bus.inner.add_task(tokio::spawn(check.run()));
        }
        let trimming = keep_trimming(state, stages.clone());
        bus.inner.add_task(tokio::spawn(trimming));
        remember(bus, self.remembered);
    }
}
