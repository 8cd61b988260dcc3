//! The lane of the journal: its connections, and its own send and receive tasks.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;

use crate::bus::Bus;
use crate::bus::inner::Inner;
use crate::bus::start::{receiver, remember, send_task, spawn_sender};
use crate::connection::connect::connect;
use crate::connection::heartbeat::Heartbeat;
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
use crate::observe::reports::OpenReports;
use crate::receive::remembered::Remembered;
use crate::transport::journal::{JournalConnected, JournalTransport};

/// The lane of the journal, connected: everything that is sent from now on will be read.
pub(crate) struct JournalLane {
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

impl JournalLane {
    /// Connects to the journal for the first time, if the bus has one.
    pub(crate) async fn connect_first(
        inner: &Inner,
        transport: &dyn JournalTransport,
        timeout: Option<Duration>,
        heartbeat_interval: Duration,
    ) -> Result<Option<Self>, StartError> {
        let Some(state) = &inner.journal else {
            return Ok(None);
        };
        let this = (inner.me, &inner.namespace);
        let connect_once = || Self::connect(inner, transport, state, heartbeat_interval).boxed();
        let lane = connect(transport, this, timeout, connect_once, |lane| {
            &lane.connected.server
        });
        Ok(Some(lane.await?))
    }

    /// Connects to the journal, and finds the position at which this bus begins to read.
    async fn connect(
        inner: &Inner,
        transport: &dyn JournalTransport,
        state: &Arc<JournalState>,
        heartbeat_interval: Duration,
    ) -> Result<Self, ConnectError> {
        let mut connected = transport
            .connect_journal(Arc::clone(&state.appending))
            .await?;
        let (followed, tail) =
            begin(&mut connected, state, (inner.me, inner.outgoing.format)).await?;
        let heartbeat = Arc::new(Heartbeat::new(heartbeat_interval));
        let remembered = Arc::default();
        let receiver = receiver(inner, &state.window, &remembered, false);
        let state = Arc::clone(state);
        let mut reader = Reader::new(
            receiver,
            (followed, tail),
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
        bus: &Bus,
        open_reports: &Arc<OpenReports>,
        transport: &Arc<dyn JournalTransport>,
    ) {
        let (inner, state) = (&*bus.inner, self.state);
        let JournalConnected {
            follow,
            sending,
            store,
            server,
        } = self.connected;
        state.meter.up(server);
        state.store.send_replace(Some(store));
        let queue = (&state.outgoing, &state.window);
        let states_position = !state.options.follow_only;
        let (sessions, sender) =
            send_task(inner, open_reports, queue, &self.heartbeat, states_position);
        let following = FollowTask {
            node: inner.me,
            namespace: inner.namespace.clone(),
            transport: Arc::clone(transport),
            reader: self.reader,
            sessions,
            health: Arc::clone(&inner.health),
            heartbeat: self.heartbeat,
            state: Arc::clone(&state),
            stage: inner.stage.subscribe(),
        };
        let sending = sender.run(sending, self.tail);
        spawn_sender(bus, &state.outgoing, sending);
        let following = following.run(follow, self.entries);
        inner.add_task(tokio::spawn(following));
        if let Some(durable) = state.durable.clone() {
            let keeping = keep(durable, state.store.subscribe(), inner.stage.subscribe());
            inner.add_task(tokio::spawn(keeping));
        }
        // A bus without a limit leaves the size of the journal to others, as the command line does.
        if !state.options.follow_only && state.options.max_bytes < u64::MAX {
            let check = SettingsCheck {
                node: inner.me,
                namespace: inner.namespace.clone(),
                address: transport.address(),
                topology: transport.topology(),
                state: Arc::clone(&state),
                stage: inner.stage.subscribe(),
            };
            inner.add_task(tokio::spawn(check.run()));
        }
        let trimming = keep_trimming(state, inner.stage.subscribe());
        inner.add_task(tokio::spawn(trimming));
        remember(bus, self.remembered);
    }
}
