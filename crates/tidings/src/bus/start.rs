//! Creates the parts of a bus, and starts their tasks.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tidings_codec::{Format, NodeId};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

use crate::bus::Bus;
use crate::bus::inner::Inner;
use crate::bus::states::States;
use crate::connection::heartbeat::Heartbeat;
use crate::connection::receive_task::ReceiveTask;
use crate::connection::send_task::SendTask;
use crate::keyspace::access::KeyspaceAccess;
use crate::members::Members;
use crate::members::profile::Profile;
use crate::namespace::Namespace;
use crate::observe::failure_hook::FailureHook;
use crate::observe::health::{Counts, HealthState};
use crate::observe::metrics::Frames;
use crate::observe::reports::Reports;
use crate::receive::dispatch::Dispatcher;
use crate::receive::receiver::Receiver;
use crate::request::pending::PendingRequests;
use crate::send::outgoing::{Outgoing, Settings};
use crate::send::window::SendWindow;
use crate::task::inline::InlineTask;
use crate::task::mutex::Mutex;
use crate::task::random;
use crate::task::stage::Stage;
use crate::transport::{Connected, Transport};

use crate::members;
use crate::members::lease::LeaseTask;
use crate::receive::remembered::Remembered;

/// The parts that the tasks of a bus share.
pub(crate) struct Parts {
    pub(crate) me: NodeId,
    format: Format,
    outgoing: Arc<Outgoing>,
    dispatcher: Arc<Dispatcher>,
    requests: Arc<PendingRequests>,
    window: Arc<SendWindow>,
    reports: Arc<Reports>,
    health: Arc<HealthState>,
    pub(crate) namespace: Namespace,
    keyspace: Arc<KeyspaceAccess>,
}

impl Parts {
    pub(crate) fn new(
        format: Format,
        sending: Settings,
        transport: &dyn Transport,
        namespace: Namespace,
    ) -> Self {
        let me = NodeId::new(random::unique());
        let counts = Arc::new(Counts::new());
        let reports = Arc::new(Reports::new(Arc::clone(&counts)));
        let outgoing = Arc::new(Outgoing::new(me, format, sending, Arc::clone(&reports)));
        let requests = Arc::new(PendingRequests::new(
            Arc::clone(&outgoing),
            Handle::current(),
        ));
        Self {
            me,
            format,
            outgoing,
            dispatcher: Arc::new(Dispatcher::new(Arc::clone(&requests) as _)),
            requests,
            window: Arc::default(),
            reports,
            health: Arc::new(HealthState::new(
                transport.address(),
                transport.topology(),
                counts,
            )),
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
            window: Arc::clone(&self.window),
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
            reports: Arc::clone(&self.reports),
            counts: Arc::clone(&counts),
            frames: Frames::sent(),
            heartbeat: Arc::clone(&heartbeat),
            sessions: for_sender,
            stage: stages.clone(),
        };
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
            stage: stages.clone(),
        };
        let outgoing = Arc::clone(&bus.inner.outgoing);
        let sending = sender.run(sending);
        let (driven, sending) = InlineTask::new(sending, bus.inner.runtime.clone());
        outgoing.set_sender(&driven);
        bus.inner.add_task(tokio::spawn(sending));
        bus.inner.add_task(tokio::spawn(link.run(receive_half)));
        bus.inner
            .add_task(tokio::spawn(self.reports.run(failure_hook)));
        remember(bus, remembered);
    }
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
