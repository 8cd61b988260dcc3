//! The builder of a bus.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tidings_codec::Format;
use tokio::runtime::Handle;

use crate::api::tap::{Tap, TapOptions};
use crate::bus::Bus;
use crate::bus::contract::{CONTRACT, ContractResponder};
use crate::bus::inspector::{INSPECT, Inspector};
use crate::bus::journal::JournalLane;
use crate::bus::start::{check_after, check_before, create, join, lease_task, run};
use crate::bus::states::States;
use crate::connection::connect::connect;
use crate::error::failure::{Failure, HandlerError};
use crate::error::start::StartError;
use crate::error::subscribe::SubscribeError;
use crate::event::Unknown;
use crate::handler::key::{AllEvents, EventPayload, ReceiveKey};
use crate::handler::{Handler, collected, contract};
use crate::journal::options::Journal;
use crate::members::profile::{JournalUse, Profile};
use crate::namespace::{DEFAULT_NAMESPACE, Namespace};
use crate::observe::failure_hook::{FailureHook, HookResult};
use crate::observe::reports::OpenReports;
use crate::receive::subscription::{HandlerOptions, Subscription};
use crate::send::outgoing::Settings;
use crate::shared::reconciler;
use crate::task::FOREVER;
use crate::transport::address::Address;
use crate::transport::credentials::{CredentialSource, Credentials};
use crate::transport::tls::Tls;
use crate::transport::url;

/// The shortest heartbeat interval. With a shorter one, a busy machine would count as dead.
const SHORTEST_PROBE: Duration = Duration::from_millis(100);
/// The shortest refresh interval. More frequent checks would only add load.
const SHORTEST_CHECK: Duration = Duration::from_secs(1);
/// The shortest lease. With a shorter one, a busy machine would count as dead.
const SHORTEST_LEASE: Duration = Duration::from_secs(1);

/// A started bus, and its tap if it has one.
type StartResult = Result<(Bus, Option<Tap>), StartError>;

type Registration = Box<dyn FnOnce(&Bus) -> Result<Subscription, SubscribeError> + Send>;

/// Options of a bus that is not started yet, from [`Bus::builder`].
///
/// | | default |
/// |---|---|
/// | [`namespace`](Self::namespace) | `default` |
/// | [`tls`](Self::tls) | the certificates that the system trusts, at a `rediss:` address |
/// | [`credentials`](Self::credentials), [`password_file`](Self::password_file) | those in the address |
/// | [`format`](Self::format) | [`Format::Json`] |
/// | [`send_buffer`](Self::send_buffer) | 64 MiB |
/// | [`send_timeout`](Self::send_timeout) | 30 s |
/// | [`volatile`](Self::volatile) | no: sends wait for a Redis that is unreachable |
/// | [`start_timeout`](Self::start_timeout) | 10 s |
/// | [`wait_for_redis`](Self::wait_for_redis) | no: a start that takes longer fails |
/// | [`heartbeat_interval`](Self::heartbeat_interval) | 5 s |
/// | [`refresh_interval`](Self::refresh_interval) | 30 s |
/// | [`name`](Self::name) | the program's |
/// | [`role`](Self::role), [`version`](Self::version) | none |
/// | [`lease`](Self::lease) | 15 s |
/// | [`membership`](Self::membership) | `true`: others see this bus |
/// | [`inspection`](Self::inspection) | `true`: others can ask for the state of this bus |
/// | [`journal`](Self::journal) | none |
/// | [`auto_register`](Self::auto_register) | `true`: functions marked `#[tidings::on]` are registered |
///
/// ```
/// # use tidings::prelude::*;
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
/// let bus = Bus::builder("memory:builder-docs")
///     .namespace("shop-staging")
///     .format(Format::MessagePack)
///     .state(String::from("what handlers may ask for"))
///     .on_failure(|failure: Failure| eprintln!("{}", tidings::report(&failure)))
///     .start()
///     .await?;
/// # Ok(()) }
/// ```
#[must_use = "a builder does nothing until it is started"]
pub struct BusBuilder {
    /// The address, or why the environment has no valid one.
    pub(super) url: Result<String, StartError>,
    pub(super) tls: Option<Tls>,
    pub(super) credentials: Option<CredentialSource>,
    namespace: String,
    format: Format,
    states: States,
    failure_hook: Option<FailureHook>,
    registrations: Vec<Registration>,
    auto_register: bool,
    sending: Settings,
    start_timeout: Option<Duration>,
    heartbeat_interval: Duration,
    refresh_interval: Duration,
    profile: Profile,
    journal: Option<Journal>,
    inspection: bool,
}

impl BusBuilder {
    pub(crate) fn new(url: Result<String, StartError>) -> Self {
        Self {
            url,
            tls: None,
            credentials: None,
            namespace: DEFAULT_NAMESPACE.to_owned(),
            format: Format::default(),
            states: States::default(),
            failure_hook: None,
            registrations: Vec::new(),
            auto_register: true,
            sending: Settings {
                limit: 64 << 20,
                timeout: Duration::from_secs(30),
                is_volatile: false,
            },
            start_timeout: Some(Duration::from_secs(10)),
            heartbeat_interval: Duration::from_secs(5),
            refresh_interval: reconciler::REFRESH_INTERVAL,
            profile: Profile::default(),
            journal: None,
            inspection: true,
        }
    }

    /// Sets the namespace: only buses of the same namespace receive each other's events. It is part
    /// of the channel's name, `tidings:{namespace}`, and of every key. Two databases of one Redis are
    /// separate, too: the channel of database 3 is `tidings:{namespace}/3`.
    pub fn namespace(mut self, namespace: &str) -> Self {
        namespace.clone_into(&mut self.namespace);
        self
    }

    /// Sets the TLS options of a `rediss:` address, such as certificates that the system does not
    /// trust. With a `redis:` address, which is not encrypted, the start fails. `memory:` and `unix:`
    /// ignore them.
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Sets a source of the user and the password, for credentials that change: cloud tokens,
    /// rotated passwords. It is asked before each connection to Redis (the bus has two), so a
    /// source whose answer is expensive should cache it. A connection that is up keeps its login.
    ///
    /// The address must not have a password then; its user counts where the source names none.
    /// Sentinels keep their credentials in the address, and `memory:` needs none. This replaces
    /// [`password_file`](Self::password_file), as that replaces this.
    ///
    /// A source that fails, panics or takes longer than 5 s is asked again at the next attempt to
    /// connect. A password that Redis rejects ends the start; a bus that was connected before asks
    /// the source again. Errors and logs show what the source fails with, never what it returns.
    ///
    /// ```
    /// use tidings::{Bus, Credentials};
    /// # async fn token() -> Result<String, std::io::Error> { Ok(String::new()) }
    ///
    /// let builder = Bus::builder("rediss://cache.example:6380")
    ///     .credentials(|| async { Ok::<_, std::io::Error>(Credentials::new("shop", token().await?)) });
    /// # let _ = builder;
    /// ```
    pub fn credentials<S, A, E>(mut self, source: S) -> Self
    where
        S: Fn() -> A + Send + Sync + 'static,
        A: Future<Output = Result<Credentials, E>> + Send + 'static,
        E: Into<HandlerError>,
    {
        self.credentials = Some(CredentialSource::new(source));
        self
    }

    /// Reads the password from this file before each connection to Redis, without the line break at
    /// its end. The user is that of the address. All else is as with
    /// [`credentials`](Self::credentials).
    pub fn password_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.credentials = Some(CredentialSource::of_file(path.into()));
        self
    }

    /// Sets the format in which this bus sends. Every bus reads both formats.
    pub fn format(mut self, format: Format) -> Self {
        self.format = format;
        self
    }

    /// Adds state of the application, which handlers take as `State<T>`: each call gets a clone. A
    /// second state of the same type replaces the first.
    pub fn state<T: Clone + Send + Sync + 'static>(mut self, state: T) -> Self {
        self.states.insert(state);
        self
    }

    /// Calls `hook` with each failure: a frame that cannot be read, a payload of the wrong type, a
    /// handler that failed. [`report`](crate::report) prints it with its causes. Without a hook
    /// failures are logged with `tracing`. A second hook replaces the first. Up to 1,024 failures
    /// wait for the hook; further ones are counted and reported as [`Failure::Suppressed`].
    ///
    /// The hook is an async function, as the handler of [`on_gap`](Self::on_gap), or a plain one. It
    /// takes no state, because failures are also reported while the bus ends. A hook that panics or
    /// takes longer than 30 s is logged, and called for the next failure.
    ///
    /// ```
    /// # use tidings::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
    /// let bus = Bus::builder("memory:on-failure-docs")
    ///     .on_failure(|failure: Failure| async move { eprintln!("{}", tidings::report(&failure)) })
    ///     .on_gap(|gap: Gap| async move { eprintln!("{gap}") })
    ///     .start()
    ///     .await?;
    /// # Ok(()) }
    /// ```
    pub fn on_failure<H, R, Kind>(mut self, hook: H) -> Self
    where
        H: Fn(Failure) -> R + Send + Sync + 'static,
        R: HookResult<Kind>,
    {
        self.failure_hook = Some(FailureHook::new(hook));
        self
    }

    /// Registers a handler as [`Bus::on`] does, before the bus receives its first event.
    pub fn on<K, P, Args, H>(self, event: K, handler: H) -> Self
    where
        K: ReceiveKey<P>,
        P: Send + 'static,
        Args: 'static,
        H: Handler<P, Args>,
    {
        self.on_with(event, HandlerOptions::default(), handler)
    }

    /// Registers a handler as [`Bus::on_with`] does, before the bus receives its first event.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a key is a name, and is given as one"
    )]
    pub fn on_with<K, P, Args, H>(self, event: K, options: HandlerOptions, handler: H) -> Self
    where
        K: ReceiveKey<P>,
        P: Send + 'static,
        Args: 'static,
        H: Handler<P, Args>,
    {
        let wanted = event.wanted();
        self.register(move |bus| bus.register(wanted, options, handler, false))
    }

    /// Registers a handler as [`Bus::subscribe`] does, before the bus receives its first event.
    pub fn subscribe<P, Args, H>(self, handler: H) -> Self
    where
        P: EventPayload,
        Args: 'static,
        H: Handler<P, Args>,
    {
        self.register(move |bus| bus.subscribe(handler))
    }

    /// Registers a handler as [`Bus::subscribe_all`] does, before the bus receives its first event.
    pub fn subscribe_all<Args, H>(self, handler: H) -> Self
    where
        Args: 'static,
        H: Handler<Unknown, Args>,
    {
        self.on(AllEvents, handler)
    }

    /// Registers a handler as [`Bus::on_gap`] does, before the bus receives its first event.
    pub fn on_gap<Args, H>(self, handler: H) -> Self
    where
        Args: 'static,
        H: Handler<crate::Gap, Args>,
    {
        self.register(move |bus| bus.on_gap(handler))
    }

    /// Sets whether functions marked `#[tidings::on]` are registered. With `false`, only handlers
    /// that are registered explicitly receive events.
    pub fn auto_register(mut self, auto_register: bool) -> Self {
        self.auto_register = auto_register;
        self
    }

    /// Sets the size of the send buffer in bytes. When it is full, `feed` and the sends wait for
    /// room, up to [`send_timeout`](Self::send_timeout), and then fail. While Redis is reachable,
    /// `feed` fills at most 2 MiB of it, so that other events are not delayed.
    pub fn send_buffer(mut self, bytes: usize) -> Self {
        // A queue of one byte takes one event at a time.
        self.sending.limit = bytes.max(1);
        self
    }

    /// Sets the time after which a waiting event is given up. An event that was sent and not
    /// answered by then is [`Unknown`](crate::Unconfirmed::Unknown). An event that first waits for
    /// room in the [`send_buffer`](Self::send_buffer) may wait that long there, too.
    pub fn send_timeout(mut self, timeout: Duration) -> Self {
        self.sending.timeout = timeout.min(FOREVER);
        self
    }

    /// Lets sends fail at once while Redis is unreachable, instead of waiting for it. Events under
    /// way when the connection is lost end as [`Unknown`](crate::Unconfirmed::Unknown).
    pub fn volatile(mut self) -> Self {
        self.sending.is_volatile = true;
        self
    }

    /// Sets the time after which the start fails. This replaces
    /// [`wait_for_redis`](Self::wait_for_redis), as that replaces this.
    pub fn start_timeout(mut self, timeout: Duration) -> Self {
        self.start_timeout = Some(timeout.min(FOREVER));
        self
    }

    /// Lets the start wait for Redis without a limit. The first failed attempt is logged as a
    /// warning, and then one every 30 s.
    pub fn wait_for_redis(mut self) -> Self {
        self.start_timeout = None;
        self
    }

    /// Sets the interval of heartbeats, at least 100 ms. When a bus has received nothing for half of
    /// this time to all of it, at random, it sends itself a heartbeat; if that does not come back
    /// within this time, it reconnects. So a dead connection is detected within twice this time. It is
    /// also the time that Redis has to answer, and the interval at which the server is asked whether
    /// it is still the master.
    pub fn heartbeat_interval(mut self, interval: Duration) -> Self {
        self.heartbeat_interval = interval.clamp(SHORTEST_PROBE, FOREVER);
        self
    }

    /// Sets the interval at which shared values are compared with Redis, at least 1 s and with ±20 %
    /// jitter. The comparison finds values that were written without a notification, and values that
    /// expired.
    pub fn refresh_interval(mut self, interval: Duration) -> Self {
        self.refresh_interval = interval.clamp(SHORTEST_CHECK, FOREVER);
        self
    }

    /// Sets the name of this bus among the [members](Bus::members), for people. It need not be
    /// unique. Of the name and of the [`version`](Self::version), the first 128 bytes are used.
    pub fn name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.profile.name);
        self
    }

    /// Sets the role of this bus, such as `api`, for [`send_to_role`](Bus::send_to_role). A role
    /// follows the rules of event names.
    pub fn role(mut self, role: &str) -> Self {
        self.profile.role = Some(role.to_owned());
        self
    }

    /// Sets the version of the program, for people: `env!("CARGO_PKG_VERSION")`, or a commit.
    pub fn version(mut self, version: &str) -> Self {
        self.profile.version = Some(version.to_owned());
        self
    }

    /// Sets the time without a renewal after which this bus counts as vanished, at least 1 s. The bus
    /// renews its lease five times per lease, so a pause of less than three quarters of the lease is
    /// not mistaken for a crash. After a crash the others know within 1.22 leases: up to a fifth of
    /// a lease, with 10 % jitter, passes until one of them checks. If Redis itself did not answer for
    /// more than half a lease, it takes a lease and 2 s from then on. All buses of a namespace should
    /// have about the same lease.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.profile.lease = lease.clamp(SHORTEST_LEASE, FOREVER);
        self
    }

    /// Keeps the events of this bus in a journal, so that subscribers receive what was sent while they
    /// were disconnected, slow or down. All buses of a namespace should have one.
    ///
    /// ```
    /// use tidings::Journal;
    /// use tidings::prelude::*;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
    /// let bus = Bus::builder("memory:with-journal").journal(Journal::default()).start().await?;
    /// bus.send_to_all("cache.clear", "user:7").await?;
    /// # Ok(()) }
    /// ```
    pub fn journal(mut self, journal: Journal) -> Self {
        self.journal = Some(journal);
        self
    }

    /// Sets whether this bus is a [member](Bus::members) of its namespace. With `false`, it still
    /// receives events that are sent to all, but other processes do not see it: neither
    /// [`send_to`](Bus::send_to) nor a role reaches it. Then it needs no permission to
    /// [be a member](crate::acl::Permissions::be_member), and does not announce its end.
    pub fn membership(mut self, is_member: bool) -> Self {
        self.profile.is_member = is_member;
        self
    }

    /// Sets whether this bus tells others its state when they [`inspect`](Bus::inspect) it: its health,
    /// the names of its handlers, and the texts of the last gaps and failures.
    pub fn inspection(mut self, is_on: bool) -> Self {
        self.inspection = is_on;
        self
    }

    /// Starts the bus: registers the handlers, connects, and returns once Redis has confirmed the
    /// subscription.
    ///
    /// # Errors
    ///
    /// When there is no Tokio runtime, when the address, the namespace or the role is not valid, when
    /// a handler cannot be registered, and when Redis cannot be reached in time or rejects this
    /// process.
    ///
    /// # Panics
    ///
    /// In a Tokio runtime without timers and I/O (`enable_all`).
    pub async fn start(self) -> Result<Bus, StartError> {
        let (bus, _) = self.start_with(None).await?;
        Ok(bus)
    }

    /// Starts the bus with a [tap](Bus::tap) that misses nothing: with a [journal](crate::Journal), it
    /// receives all that the bus reads from where it [begins](crate::Journal::since).
    ///
    /// ```
    /// use tidings::{Journal, Since, TapOptions};
    /// use tidings::prelude::*;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
    /// # let shop = Bus::builder("memory:start-with-tap-docs").journal(Journal::default()).start().await?;
    /// # shop.send_to_all("user.renamed", &7).await?;
    /// let journal = Journal::default().follow_only().since(Since::Start);
    /// let builder = Bus::builder("memory:start-with-tap-docs").membership(false);
    /// let (bus, mut tap) = builder.journal(journal).start_with_tap(TapOptions::new()).await?;
    /// println!("{:?}", tap.next().await);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start), and when an option of the tap is zero.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub async fn start_with_tap(self, options: TapOptions) -> Result<(Bus, Tap), StartError> {
        let (bus, tap) = self.start_with(Some(options)).await?;
        Ok((
            bus,
            tap.expect("a tap is opened if there are options for it"),
        ))
    }

    pub(super) fn parsed_namespace(&self) -> Result<Namespace, StartError> {
        Namespace::parse(&self.namespace).map_err(|source| StartError::Namespace {
            namespace: self.namespace.clone(),
            source,
        })
    }

    /// Boxed, so that the start is compiled with tidings, not with each program that awaits it.
    fn start_with(self, tap: Option<TapOptions>) -> BoxFuture<'static, StartResult> {
        Box::pin(self.start_now(tap))
    }

    /// Starts the bus, with a tap that is opened before the bus receives anything.
    async fn start_now(mut self, tap: Option<TapOptions>) -> StartResult {
        if Handle::try_current().is_err() {
            return Err(StartError::NoRuntime);
        }
        let namespace = self.parsed_namespace()?;
        let url = self.url?;
        let transport = url::parse(&url, self.tls.as_ref(), self.credentials, &namespace);
        let transport = transport.map_err(|source| {
            let url = Address::shown(&url);
            StartError::Url { url, source }
        })?;
        self.profile.check()?;
        self.profile.pubsub = transport.pubsub();
        self.profile.journal = use_of(self.journal.as_ref());
        let every = self.heartbeat_interval;
        let journal = self.journal.map(|journal| journal.bounded(every));
        let bus = create(
            (self.format, self.sending),
            &*transport,
            namespace,
            journal,
            self.states,
            self.profile,
            self.refresh_interval,
        );
        let inner = &bus.inner;
        let open_reports = Arc::new(OpenReports(Arc::clone(&inner.reports)));
        if self.auto_register {
            collected::register_all(&bus)?;
        }
        for registration in self.registrations {
            registration(&bus)?;
        }
        answer_inspections(&bus, self.inspection);
        let tap = tap.map(|options| bus.open_tap(options)).transpose()?;
        let this = (inner.me, &inner.namespace);
        let connect_once = || transport.connect();
        let connecting = connect(&*transport, this, self.start_timeout, connect_once, |it| {
            &it.server
        });
        let mut connected = connecting.await?;
        let lane =
            JournalLane::connect_first(inner, &*transport, self.start_timeout, every).await?;
        let keyspace = &*connected.sending.keyspace;
        inner.members.check_pubsub(keyspace).await?;
        check_before(&bus, &mut connected).await?;
        // Before a handler can ask for the members: that waits until this bus has joined or failed to.
        let task = lease_task(&bus);
        if let Some(lane) = lane {
            lane.run(&bus, &open_reports, &transport);
        }
        let hook = self.failure_hook;
        run(&bus, &open_reports, transport, connected, every, hook);
        if let Some(task) = task {
            join(&bus, task);
        }
        check_after(&bus).await?;
        Ok((bus, tap))
    }

    fn register(
        mut self,
        registration: impl FnOnce(&Bus) -> Result<Subscription, SubscribeError> + Send + 'static,
    ) -> Self {
        self.registrations.push(Box::new(registration));
        self
    }
}

/// Sets the listeners of the requests about this bus and its program.
fn answer_inspections(bus: &Bus, is_on: bool) {
    if is_on {
        contract::collect_on(&bus.inner.runtime);
    }
    let inspector = Inspector::new(bus.downgrade(), is_on, contract::published);
    let responder = ContractResponder::new(bus.downgrade(), is_on, contract::published);
    let control = &bus.inner.dispatcher.control;
    control.set_patient(vec![(INSPECT, inspector), (CONTRACT, responder)]);
}

fn use_of(journal: Option<&Journal>) -> JournalUse {
    match journal {
        None => JournalUse::None,
        Some(journal) if journal.follow_only => JournalUse::Follows,
        Some(_) => JournalUse::Writes,
    }
}

impl fmt::Debug for BusBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BusBuilder")
            .field("url", &self.url.as_deref().map(Address::shown))
            .field("namespace", &self.namespace)
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::connect::UrlError;

    #[tokio::test]
    async fn an_invalid_variable_is_an_error_of_the_start() {
        let invalid = || StartError::Url {
            url: "…".to_owned(),
            source: UrlError::Malformed {
                reason: "`TIDINGS_URL` is not UTF-8".to_owned(),
            },
        };
        let builder = BusBuilder::new(Err(invalid())).namespace("shop");
        let error = builder.start().await.unwrap_err();
        assert_eq!(error.to_string(), invalid().to_string());
    }

    #[test]
    fn the_defaults_are_those_of_the_table() {
        let builder = BusBuilder::new(Ok("memory:defaults".to_owned()));
        assert_eq!(builder.namespace, "default");
        assert_eq!(builder.format, Format::Json);
        assert_eq!(builder.sending.limit, 64 << 20);
        assert_eq!(builder.sending.timeout, Duration::from_secs(30));
        assert!(!builder.sending.is_volatile);
        assert_eq!(builder.start_timeout, Some(Duration::from_secs(10)));
        assert_eq!(builder.heartbeat_interval, Duration::from_secs(5));
        assert_eq!(builder.refresh_interval, Duration::from_secs(30));
        assert_eq!(builder.profile.lease, Duration::from_secs(15));
        assert_eq!(
            (builder.profile.role, builder.profile.version),
            (None, None)
        );
        assert!(builder.profile.is_member);
    }
}
