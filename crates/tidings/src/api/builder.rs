//! All that is decided before the start.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use tidings_codec::Format;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::bus::Bus;
use crate::bus::start::{Parts, join, lease_task};
use crate::bus::states::States;
use crate::connection::connect::connect;
use crate::connection::heartbeat::Heartbeat;
use crate::error::failure::{Failure, HandlerError};
use crate::error::start::StartError;
use crate::error::subscribe::SubscribeError;
use crate::handler::key::{EventPayload, ReceiveKey};
use crate::handler::{Handler, collected};
use crate::members::profile::Profile;
use crate::namespace::{DEFAULT_NAMESPACE, Namespace};
use crate::observe::reports::FailureHook;
use crate::receive::subscription::{HandlerOptions, Subscription};
use crate::send::outgoing::Settings;
use crate::shared::reconciler;
use crate::task::FOREVER;
use crate::task::stage::Stage;
use crate::transport::address::Address;
use crate::transport::credentials::{CredentialSource, Credentials};
use crate::transport::tls::Tls;
use crate::transport::url;

/// A shorter interval between probes would find a busy machine dead.
const SHORTEST_PROBE: Duration = Duration::from_millis(100);

/// Checks that come faster would be a load, and find nothing that notices do not.
const SHORTEST_CHECK: Duration = Duration::from_secs(1);
/// A shorter lease would take a busy machine for a dead one.
const SHORTEST_LEASE: Duration = Duration::from_secs(1);

type Registration = Box<dyn FnOnce(&Bus) -> Result<Subscription, SubscribeError> + Send>;

/// A bus before its start. [`Bus::builder`] makes one.
///
/// | | default |
/// |---|---|
/// | [`namespace`](Self::namespace) | `default` |
/// | [`tls`](Self::tls) | who the system trusts, at a `rediss:` address |
/// | [`credentials`](Self::credentials), [`password_file`](Self::password_file) | those in the address |
/// | [`format`](Self::format) | [`Format::Json`] |
/// | [`send_buffer`](Self::send_buffer) | 64 MiB |
/// | [`send_timeout`](Self::send_timeout) | 30 s |
/// | [`volatile`](Self::volatile) | no: sends wait for a Redis that is away |
/// | [`start_timeout`](Self::start_timeout) | 10 s |
/// | [`wait_for_redis`](Self::wait_for_redis) | no: a start that takes longer fails |
/// | [`heartbeat_interval`](Self::heartbeat_interval) | 5 s |
/// | [`refresh_interval`](Self::refresh_interval) | 30 s |
/// | [`name`](Self::name) | the program's |
/// | [`role`](Self::role), [`version`](Self::version) | none |
/// | [`lease`](Self::lease) | 15 s |
/// | [`membership`](Self::membership) | `true`: others see this bus |
///
/// ```
/// # use tidings::prelude::*;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let bus = Bus::builder("memory:builder-docs")
///     .namespace("shop-staging")
///     .format(Format::MessagePack)
///     .state(String::from("what handlers may ask for"))
///     .on_failure(|failure: Failure| eprintln!("{}", tidings::report(&failure)))
///     .start()
///     .await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a builder does nothing until it is started"]
pub struct BusBuilder {
    url: String,
    tls: Option<Tls>,
    credentials: Option<CredentialSource>,
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
}

impl BusBuilder {
    pub(crate) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
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
        }
    }

    /// The namespace: buses receive each other's events within one. It is part of the channel's
    /// name, `tidings:{namespace}`, and of every key. Two databases of one Redis are apart, too: the
    /// channel of database 3 is `tidings:{namespace}/3`.
    pub fn namespace(self, namespace: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            ..self
        }
    }

    /// How to agree on TLS with a server at a `rediss:` address, where what the system trusts is
    /// not enough. With a `redis:` address, which is not secret, the start fails; `memory:` and
    /// `unix:` leave this machine as little as before.
    pub fn tls(self, tls: Tls) -> Self {
        Self {
            tls: Some(tls),
            ..self
        }
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
    pub fn credentials<S, A, E>(self, source: S) -> Self
    where
        S: Fn() -> A + Send + Sync + 'static,
        A: Future<Output = Result<Credentials, E>> + Send + 'static,
        E: Into<HandlerError>,
    {
        Self {
            credentials: Some(CredentialSource::new(source)),
            ..self
        }
    }

    /// Reads the password from this file before each connection to Redis, without the line break at
    /// its end. The user is that of the address. All else is as with
    /// [`credentials`](Self::credentials).
    pub fn password_file(self, path: impl Into<PathBuf>) -> Self {
        Self {
            credentials: Some(CredentialSource::of_file(path.into())),
            ..self
        }
    }

    /// How this bus writes. Every bus reads both formats, whatever it writes.
    pub fn format(self, format: Format) -> Self {
        Self { format, ..self }
    }

    /// Gives handlers a thing of the application's: they take it as `State<T>`, a clone for each
    /// call. One per type; a second one of the same type replaces the first.
    pub fn state<T: Clone + Send + Sync + 'static>(mut self, state: T) -> Self {
        self.states.insert(state);
        self
    }

    /// Hears of each failure: a frame that cannot be read, a payload of the wrong type, a handler
    /// that failed. [`report`](crate::report) says it with its causes. Without a hook they are
    /// logged with `tracing`, and seen where the program has a subscriber for that. A second hook
    /// replaces the first. Up to 1,024 failures wait for the hook; what comes faster is counted and
    /// reported as [`Failure::Suppressed`].
    pub fn on_failure(mut self, hook: impl Fn(Failure) + Send + Sync + 'static) -> Self {
        self.failure_hook = Some(Box::new(hook));
        self
    }

    /// As [`Bus::on`], from the very start: no event can come before the handler is there.
    pub fn on<K, P, Args, H>(self, event: K, handler: H) -> Self
    where
        K: ReceiveKey<P>,
        P: Send + 'static,
        Args: 'static,
        H: Handler<P, Args>,
    {
        self.on_with(event, HandlerOptions::default(), handler)
    }

    /// As [`Bus::on_with`], from the very start.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a key is a name, and is given as one"
    )]
    pub fn on_with<K, P, Args, H>(self, event: K, handling: HandlerOptions, handler: H) -> Self
    where
        K: ReceiveKey<P>,
        P: Send + 'static,
        Args: 'static,
        H: Handler<P, Args>,
    {
        let wanted = event.wanted();
        self.register(move |bus| bus.register(wanted, handling, handler, false))
    }

    /// As [`Bus::subscribe`], from the very start.
    pub fn subscribe<P, Args, H>(self, handler: H) -> Self
    where
        P: EventPayload,
        Args: 'static,
        H: Handler<P, Args>,
    {
        self.register(move |bus| bus.subscribe(handler))
    }

    /// As [`Bus::on_gap`], from the very start.
    pub fn on_gap<Args, H>(self, handler: H) -> Self
    where
        Args: 'static,
        H: Handler<crate::Gap, Args>,
    {
        self.register(move |bus| bus.on_gap(handler))
    }

    /// Whether to register the functions that are marked `#[tidings::on]`. The default is `true`;
    /// with `false` only handlers that are registered explicitly receive events.
    pub fn auto_register(self, auto_register: bool) -> Self {
        Self {
            auto_register,
            ..self
        }
    }

    /// How many bytes of events may wait for Redis. When it is full, `feed` and the sends wait for
    /// room, for as long as [`send_timeout`](Self::send_timeout), and then fail. While Redis is
    /// there, `feed` leaves it at 4 MiB of this, so that no event is late for its sake.
    pub fn send_buffer(mut self, bytes: usize) -> Self {
        // A queue of nothing takes one event at a time.
        self.sending.limit = bytes.max(1);
        self
    }

    /// How long an event may wait for Redis before it is given up: one that was handed to Redis and
    /// not answered then is [`Unknown`](crate::Unconfirmed::Unknown). One that has to wait for room in the
    /// [`send_buffer`](Self::send_buffer) first may do that for as long, too.
    pub fn send_timeout(mut self, timeout: Duration) -> Self {
        self.sending.timeout = timeout.min(FOREVER);
        self
    }

    /// Sends fail at once while Redis is away, instead of waiting for it. What is on its way when the
    /// connection is lost ends then, too, as [`Unknown`](crate::Unconfirmed::Unknown).
    pub fn volatile(mut self) -> Self {
        self.sending.is_volatile = true;
        self
    }

    /// How long the start may take before it fails. Replaces
    /// [`wait_for_redis`](Self::wait_for_redis), as that replaces this.
    pub fn start_timeout(self, timeout: Duration) -> Self {
        Self {
            start_timeout: Some(timeout.min(FOREVER)),
            ..self
        }
    }

    /// Keeps trying to start while Redis is down, instead of failing after a time. The first attempt
    /// that fails is logged as a warning, and then one every 30 s.
    pub fn wait_for_redis(self) -> Self {
        Self {
            start_timeout: None,
            ..self
        }
    }

    /// How soon a dead connection is noticed that no error shows: when nothing was heard for this
    /// long, the bus sends itself a sign of life, and when that does not come back within this time
    /// either, it connects anew. So a connection is deaf for twice this at most. It is also how long
    /// Redis may take to answer, and how often the server is asked whether it still is the master.
    /// At least 100 ms.
    pub fn heartbeat_interval(self, interval: Duration) -> Self {
        Self {
            heartbeat_interval: interval.clamp(SHORTEST_PROBE, FOREVER),
            ..self
        }
    }

    /// How often what is here of shared values is compared with Redis when nothing was announced:
    /// that finds what was written without a word, or was gone when its time was up. Chance makes it
    /// up to a fifth more or less. At least 1 s.
    pub fn refresh_interval(self, interval: Duration) -> Self {
        Self {
            refresh_interval: interval.clamp(SHORTEST_CHECK, FOREVER),
            ..self
        }
    }

    /// What this bus is called among the [members](Bus::members), for people: the program's name,
    /// where nobody says otherwise. Several may be called the same. Of this and of the
    /// [`version`](Self::version), the first 128 bytes count.
    pub fn name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.profile.name);
        self
    }

    /// What this bus is for, such as `api`: others can [`send_to_role`](Bus::send_to_role). It obeys
    /// the rules of event names.
    pub fn role(mut self, role: &str) -> Self {
        self.profile.role = Some(role.to_owned());
        self
    }

    /// Which version of the program this is, for people: `env!("CARGO_PKG_VERSION")`, or a commit.
    pub fn version(mut self, version: &str) -> Self {
        self.profile.version = Some(version.to_owned());
        self
    }

    /// How long others may take this bus for a member without a sign of life. It gives one five
    /// times as often, so a pause that is shorter than three quarters of the lease is never taken
    /// for its end, and after a crash the others know within 1.22 leases: the last fifth passes until
    /// one of them looks, and chance makes that up to a tenth longer. Where Redis itself was silent
    /// for longer than half a lease, it is a lease and 2 s from the end of the silence. At least 1 s;
    /// let all buses of a namespace have about the same.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.profile.lease = lease.clamp(SHORTEST_LEASE, FOREVER);
        self
    }

    /// Whether this bus is a [member](Bus::members) of its namespace. The default is `true`. With
    /// `false` it still receives what is sent to all, but other processes do not see it: neither
    /// [`send_to`](Bus::send_to) nor a role finds it. It needs no permission to
    /// [be a member](crate::acl::Permissions::be_member) then, and does not announce its end.
    pub fn membership(mut self, is_member: bool) -> Self {
        self.profile.is_member = is_member;
        self
    }

    /// Starts the bus: registers handlers, connects, and returns once Redis confirmed the
    /// subscription.
    ///
    /// # Errors
    ///
    /// When there is no Tokio runtime, the address, the namespace or the role is not valid, a handler
    /// cannot be registered, Redis cannot be reached in time, or it refuses this process.
    ///
    /// # Panics
    ///
    /// In a Tokio runtime without timers and I/O (`enable_all`).
    pub async fn start(self) -> Result<Bus, StartError> {
        if Handle::try_current().is_err() {
            return Err(StartError::NoRuntime);
        }
        let namespace =
            Namespace::parse(&self.namespace).map_err(|source| StartError::Namespace {
                namespace: self.namespace.clone(),
                source,
            })?;
        let transport = url::parse(&self.url, self.tls.as_ref(), self.credentials, &namespace);
        let transport = transport.map_err(|source| {
            let url = Address::shown(&self.url);
            StartError::Url { url, source }
        })?;
        self.profile.check()?;
        let parts = Parts::new(self.format, self.sending, &*transport, namespace);
        let stage = watch::Sender::new(Stage::Open);
        let stages = stage.subscribe();
        let bus = parts.bus(self.states, self.profile, self.refresh_interval, stage);
        if self.auto_register {
            collected::register_all(&bus)?;
        }
        for registration in self.registrations {
            registration(&bus)?;
        }
        let this = (parts.me, &parts.namespace);
        let connected = connect(&*transport, this, self.start_timeout).await?;
        let heartbeat = Heartbeat::new(self.heartbeat_interval);
        // Before a handler can ask for the members: it waits until it is known whether we are one.
        let task = lease_task(&bus);
        parts.run(
            &bus,
            transport,
            connected,
            heartbeat,
            self.failure_hook,
            &stages,
        );
        if let Some(task) = task {
            join(&bus, task);
        }
        Ok(bus)
    }

    fn register(
        mut self,
        registration: impl FnOnce(&Bus) -> Result<Subscription, SubscribeError> + Send + 'static,
    ) -> Self {
        self.registrations.push(Box::new(registration));
        self
    }
}

impl fmt::Debug for BusBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BusBuilder")
            .field("url", &Address::shown(&self.url))
            .field("namespace", &self.namespace)
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_table() {
        let builder = BusBuilder::new("memory:defaults");
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
