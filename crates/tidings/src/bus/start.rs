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
use crate::task::stage::{Stage, until_leaving};
use crate::transport::journal::drive;
use crate::transport::{Connected, SendHalf, Transport};

use crate::members;
use crate::members::lease::LeaseTask;
use crate::receive::remembered::Remembered;

/// Creates a bus whose tasks are not started.
pub(crate) fn create(
    (format, sending): (Format, Settings),
    transport: &dyn Transport,
    namespace: Namespace,
    journal: Option<Journal>,
    states: States,
    profile: Profile,
    refresh_interval: Duration,
) -> Bus {
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
    let runtime = Handle::current();
    let requests = PendingRequests::new(Arc::clone(&outgoing), runtime.clone());
    let requests = Arc::new(requests);
    Bus::from_inner(Inner {
        me,
        outgoing,
        events,
        window: Arc::default(),
        dispatcher: Arc::new(Dispatcher::new(Arc::clone(&requests) as _)),
        requests,
        reports,
        health: Arc::new(HealthState::new(
            transport.address(),
            transport.topology(),
            counts,
            journal.as_ref().map(|journal| Arc::clone(&journal.meter)),
        )),
        journal,
        keyspace: Arc::new(KeyspaceAccess::new(sending.timeout)),
        reconciler: OnceLock::new(),
        maps: OnceLock::new(),
        shared: OnceLock::new(),
        refresh_interval,
        members: Members::new(&namespace, profile),
        namespace,
        states,
        stage: watch::Sender::new(Stage::Open),
        tasks: Mutex::default(),
        ending: Mutex::default(),
        runtime,
    })
}

/// Starts the send task, the receive task and the task that reports.
pub(crate) fn run(
    bus: &Bus,
    open_reports: &Arc<OpenReports>,
    transport: Arc<dyn Transport>,
    connected: Connected,
    heartbeat_interval: Duration,
    failure_hook: Option<FailureHook>,
) {
    let inner = &*bus.inner;
    let Connected {
        receive_half,
        sending,
        server,
        left_out,
    } = connected;
    inner.health.up(server, left_out);
    inner.keyspace.set(Ok(Arc::clone(&sending.keyspace)));
    if let Some(server) = transport.key_moves() {
        let keyspace = Arc::clone(&inner.keyspace);
        let following = async move { keyspace.follow(server).await };
        inner.add_task(tokio::spawn(following));
    }
    let heartbeat = Arc::new(Heartbeat::new(heartbeat_interval));
    let queue = (&inner.outgoing, &inner.window);
    let (sessions, sender) = send_task(inner, open_reports, queue, &heartbeat, true);
    let journal = inner.journal.as_ref();
    let remembered = Arc::default();
    let link = ReceiveTask {
        node: inner.me,
        namespace: inner.namespace.clone(),
        receiver: receiver(inner, &inner.window, &remembered, transport.may_be_late()),
        transport,
        sessions,
        health: Arc::clone(&inner.health),
        heartbeat,
        keyspace: Arc::clone(&inner.keyspace),
        receives_events: journal.is_none_or(|journal| journal.options.follow_only),
        stage: inner.stage.subscribe(),
    };
    let sending = sender.run(sending, JournalPosition::START);
    spawn_sender(bus, &inner.outgoing, sending);
    inner.add_task(tokio::spawn(link.run(receive_half)));
    let reporting = Arc::clone(&inner.reports).run(failure_hook);
    inner.add_task(tokio::spawn(reporting));
    remember(bus, remembered);
}

/// Creates the send task of a queue, and the sender of its connections.
pub(crate) fn send_task(
    inner: &Inner,
    open_reports: &Arc<OpenReports>,
    (outgoing, window): (&Arc<Outgoing>, &Arc<SendWindow>),
    heartbeat: &Arc<Heartbeat>,
    states_position: bool,
) -> (mpsc::Sender<Option<SendHalf>>, SendTask) {
    let (sessions, for_task) = mpsc::channel(1);
    let task = SendTask {
        outgoing: Arc::clone(outgoing),
        window: Arc::clone(window),
        _reports: Arc::clone(open_reports),
        counts: Arc::clone(&inner.health.counts),
        frames: Frames::sent(),
        heartbeat: Arc::clone(heartbeat),
        sessions: for_task,
        stage: inner.stage.subscribe(),
        states_position,
    };
    (sessions, task)
}

/// Creates a receiver, which tells this window which of its frames have come back.
pub(crate) fn receiver(
    inner: &Inner,
    window: &Arc<SendWindow>,
    remembered: &Arc<Remembered>,
    may_be_late: bool,
) -> Receiver {
    Receiver::new(
        inner.me,
        Arc::clone(&inner.dispatcher),
        Arc::clone(window),
        Arc::clone(&inner.reports),
        Arc::clone(&inner.health.counts),
        Arc::clone(remembered),
        may_be_late,
    )
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
    let (inner, stage) = (Arc::downgrade(inner), inner.stage.subscribe());
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
    let looking = until_leaving(stage, looking);
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
