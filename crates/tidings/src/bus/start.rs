//! Creates the parts of a bus, and starts their tasks.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::FutureExt;
use tidings_codec::{Format, NodeId};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

use crate::bus::Bus;
use crate::bus::inner::Inner;
use crate::bus::states::States;
use crate::connection::heartbeat::Heartbeat;
use crate::connection::receive_task::ReceiveTask;
use crate::connection::send_task::SendTask;
use crate::error::failure::Failure;
use crate::error::start::StartError;
use crate::event::position::JournalPosition;
use crate::journal::options::Journal;
use crate::journal::state::JournalState;
use crate::keyspace::access::KeyspaceAccess;
use crate::members::Members;
use crate::members::profile::{JournalUse, Profile};
use crate::namespace::Namespace;
use crate::observe::failure_hook::FailureHook;
use crate::observe::health::{Counts, HealthState};
use crate::observe::metrics::Frames;
use crate::observe::reports::{OpenReports, Reports};
use crate::receive::dispatch::Dispatcher;
use crate::receive::receiver::Receiver;
use crate::request::pending::PendingRequests;
use crate::send::outgoing::{Outgoing, Settings};
use crate::send::window::SendWindow;
use crate::task::inline::InlineTask;
use crate::task::mutex::Mutex;
use crate::task::random;
use crate::task::stage::{Stage, reached};
use crate::transport::journal::drive;
use crate::transport::{Connected, Transport};

use crate::members;
use crate::members::lease::LeaseTask;
use crate::receive::remembered::Remembered;

/// The parts that the tasks of a bus share.
pub(crate) struct Parts {
    pub(crate) me: NodeId,
    pub(crate) format: Format,
    outgoing: Arc<Outgoing>,
    /// The queue of events: that of the journal, or `outgoing` without one.
    events: Arc<Outgoing>,
    pub(crate) dispatcher: Arc<Dispatcher>,
    requests: Arc<PendingRequests>,
    window: Arc<SendWindow>,
    pub(crate) journal: Option<Arc<JournalState>>,
    pub(crate) reports: Arc<Reports>,
    /// Closes the reports when the last send task ends.
    pub(crate) open_reports: Arc<OpenReports>,
    pub(crate) health: Arc<HealthState>,
    pub(crate) namespace: Namespace,
    keyspace: Arc<KeyspaceAccess>,
}

impl Parts {
    pub(crate) fn new(
        format: Format,
        sending: Settings,
        transport: &dyn Transport,
        namespace: Namespace,
        journal: Option<Journal>,
    ) -> Self {
        let me = NodeId::new(random::unique());
        let counts = Arc::new(Counts::new());
        let reports = Arc::new(Reports::new(Arc::clone(&counts)));
        let outgoing = Arc::new(Outgoing::new(me, format, sending, Arc::clone(&reports)));
        let state = |options| Arc::new(JournalState::new(options, outgoing.another(), me));
        let journal = journal.map(state);
        let events = match &journal {
            Some(journal) if !journal.options.follow_only => Arc::clone(&journal.outgoing),
            _ => Arc::clone(&outgoing),
        };
        let requests = Arc::new(PendingRequests::new(
            Arc::clone(&outgoing),
            Handle::current(),
        ));
        Self {
            me,
            format,
            outgoing,
            events,
            dispatcher: Arc::new(Dispatcher::new(Arc::clone(&requests) as _)),
            requests,
            window: Arc::default(),
            open_reports: Arc::new(OpenReports(Arc::clone(&reports))),
            reports,
            health: Arc::new(HealthState::new(
                transport.address(),
                transport.topology(),
                counts,
                journal.as_ref().map(|journal| Arc::clone(&journal.meter)),
            )),
            journal,
            namespace,
            keyspace: Arc::new(KeyspaceAccess::new(sending.timeout)),
        }
    }

    pub(crate) fn bus(
        &self,
        states: States,
        profile: Profile,
        refresh_interval: Duration,
        stage: watch::Sender<Stage>,
    ) -> Bus {
        Bus::from_inner(Inner {
            me: self.me,
            outgoing: Arc::clone(&self.outgoing),
            events: Arc::clone(&self.events),
            window: Arc::clone(&self.window),
            journal: self.journal.clone(),
            dispatcher: Arc::clone(&self.dispatcher),
            requests: Arc::clone(&self.requests),
            reports: Arc::clone(&self.reports),
            health: Arc::clone(&self.health),
            namespace: self.namespace.clone(),
            keyspace: Arc::clone(&self.keyspace),
            reconciler: OnceLock::new(),
            maps: OnceLock::new(),
            shared: OnceLock::new(),
            refresh_interval,
            members: Members::new(&self.namespace, profile),
            states,
            stage,
            tasks: Mutex::default(),
            ending: Mutex::default(),
            runtime: Handle::current(),
        })
    }

    /// Starts the send task, the receive task and the task that reports.
    pub(crate) fn run(
        self,
        bus: &Bus,
        transport: Arc<dyn Transport>,
        connected: Connected,
        heartbeat: Heartbeat,
        failure_hook: Option<FailureHook>,
        stages: &watch::Receiver<Stage>,
    ) {
        let Connected {
            receive_half,
            sending,
            server,
            left_out,
        } = connected;
        self.health.up(server, left_out);
        self.keyspace.set(Ok(Arc::clone(&sending.keyspace)));
        if let Some(server) = transport.key_moves() {
            let keyspace = Arc::clone(&self.keyspace);
            let following = async move { keyspace.follow(server).await };
            bus.inner.add_task(tokio::spawn(following));
        }
        let (heartbeat, counts) = (Arc::new(heartbeat), Arc::clone(&self.health.counts));
        let (sessions, for_sender) = mpsc::channel(1);
        let sender = SendTask {
            me: self.me,
            format: self.format,
            outgoing: self.outgoing,
            window: Arc::clone(&self.window),
            _reports: self.open_reports,
            counts: Arc::clone(&counts),
            frames: Frames::sent(),
            heartbeat: Arc::clone(&heartbeat),
            sessions: for_sender,
            stage: stages.clone(),
            states_position: true,
        };
        let journal = self.journal.as_ref();
        let receives_events = journal.is_none_or(|journal| journal.options.follow_only);
        let remembered = Arc::default();
        let receiver = Receiver::new(
            self.me,
            self.dispatcher,
            self.window,
            Arc::clone(&self.reports),
            counts,
            Arc::clone(&remembered),
            transport.may_be_late(),
        );
        let link = ReceiveTask {
            node: self.me,
            namespace: self.namespace,
            transport,
            receiver,
            sessions,
            health: self.health,
            heartbeat,
            keyspace: self.keyspace,
            receives_events,
            stage: stages.clone(),
        };
        let sending = sender.run(sending, JournalPosition::START);
        spawn_sender(bus, &bus.inner.outgoing, sending);
        bus.inner.add_task(tokio::spawn(link.run(receive_half)));
        bus.inner
            .add_task(tokio::spawn(self.reports.run(failure_hook)));
        remember(bus, remembered);
    }
}

/// Starts a send task, which the callers of sends also poll.
pub(crate) fn spawn_sender(
    bus: &Bus,
    queue: &Outgoing,
    sending: impl Future<Output = ()> + Send + 'static,
) {
    let (driven, sending) = InlineTask::new(sending, bus.inner.runtime.clone());
    queue.set_sender(&driven);
    bus.inner.add_task(tokio::spawn(sending));
}

/// Fails if members of the namespace have a journal, and this bus has none.
pub(crate) async fn check_before(bus: &Bus, connected: &mut Connected) -> Result<(), StartError> {
    let inner = &bus.inner;
    if inner.journal.is_some() {
        return Ok(());
    }
    let sending = &mut connected.sending;
    let listing = sending.keyspace.list(&inner.members.keys);
    let listing = drive(&mut sending.driver, listing).map(Result::ok);
    inner.members.check_journal(inner.me, listing).await
}

/// Fails if members of the namespace would miss the events of this bus, once it is one of them. A bus
/// without a journal does not wait for that: it may only have started at the same time as another.
///
/// A mismatch that is found later is reported: also each time that the bus had to be added to the list again,
/// because other buses may have started without seeing it.
pub(crate) async fn check_after(bus: &Bus) -> Result<(), StartError> {
    let inner = &bus.inner;
    let members = &inner.members;
    if !members.profile.is_member || members.profile.journal == JournalUse::Follows {
        return Ok(());
    }
    if inner.journal.is_some() {
        look(inner).await?;
    }
    let mut added = members.membership.added.subscribe();
    if inner.journal.is_none() && *added.borrow() > 0 {
        added.mark_changed();
    }
    let (inner, mut stage) = (Arc::downgrade(inner), inner.stage.subscribe());
    let looking = async move {
        while added.changed().await.is_ok() {
            // Holding it longer would keep the bus alive.
            let Some(inner) = inner.upgrade() else {
                return;
            };
            if let Err(source) = look(&inner).await {
                inner.reports.failure(Failure::JournalMismatch { source });
            }
        }
    };
    let looking = async move {
        tokio::select! {
            () = looking => {}
            _ = reached(&mut stage, Stage::Leaving) => {}
        }
    };
    bus.inner.add_task(bus.inner.runtime.spawn(looking));
    Ok(())
}

/// Looks at the members once this bus is one of them.
async fn look(inner: &Inner) -> Result<(), StartError> {
    let listing = inner.members.listed_after_joining(&inner.keyspace);
    inner.members.check_journal(inner.me, listing).await
}

/// The task that renews the lease, if this bus is to be a member. From now on the member methods wait
/// for its first result.
pub(crate) fn lease_task(bus: &Bus) -> Option<LeaseTask> {
    let inner = &bus.inner;
    let members = &inner.members;
    members.profile.is_member.then(|| {
        LeaseTask::new(
            Arc::clone(&members.membership),
            Arc::clone(&inner.keyspace),
            members.keys.clone(),
            (inner.me, &members.profile),
            inner.stage.subscribe(),
        )
    })
}

/// Joins in a task of its own: the start does not wait for it.
pub(crate) fn join(bus: &Bus, task: LeaseTask) {
    let inner = &bus.inner;
    inner.add_task(inner.runtime.spawn(task.run()));
}

/// Starts the task that queries the members, so that `receive` does not forget their numbers.
pub(crate) fn remember(bus: &Bus, remembered: Arc<Remembered>) {
    let inner = &bus.inner;
    let (keyspace, keys) = (Arc::clone(&inner.keyspace), inner.members.keys.clone());
    let answering =
        members::live_senders::supply(remembered, keyspace, keys, inner.stage.subscribe());
    inner.add_task(inner.runtime.spawn(answering));
}
