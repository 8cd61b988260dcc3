//! The bus: the handle that a program holds to hear and to send.
#![expect(
    clippy::needless_pass_by_value,
    reason = "a key is a name, and is given as one"
)]

use std::any::type_name;
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tidings_codec::NodeId;
use tokio::time::Instant;
use tokio_util::context::TokioContext;

use crate::builder::Builder;
use crate::context::States;
use crate::error::gap::Gap;
use crate::error::send::SendError;
use crate::error::shutdown::ShutdownError;
use crate::error::start::StartError;
use crate::error::subscribe::{MissingState, OnError};
use crate::event::EventKey;
use crate::handler::Handler;
use crate::key::{EventPayload, HearKey, StreamKey, Wanted};
use crate::life::{Held, Inner, shut_down};
use crate::observe::health::{Connection, Health, HealthWatch};
use crate::observe::metrics::Calls;
use crate::reports::{GapBox, Reports};
use crate::sending::{Receipt, Sending};
use crate::stream::EventStream;
use crate::subscription::{Handling, Seat, Subscription, as_seat};
use crate::task::stage::Stage;
use crate::task::timer::FOREVER;
use crate::transport::url;
use crate::worker::{OwnedHandler, Worker, hear_gaps};

/// A process's place on the bus: hears and sends events. Cheap to clone; when the last clone is
/// dropped, its tasks end, and what waits in its handlers' queues is dropped. The one that a
/// handler is given does not count.
///
/// ```
/// use tidings::prelude::*;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let bus = Bus::builder("memory:docs").start().await?;
/// bus.on("cache.clear", |key: String| async move { println!("drop {key}") })?;
/// bus.send_to_all("cache.clear", "user:7").await?;
/// bus.shutdown(std::time::Duration::from_secs(5)).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Bus {
    pub(crate) inner: Arc<Inner>,
    /// What the application holds; a handler's bus does not.
    held: Option<Arc<Held>>,
    /// What is sent through this clone fails at once while Redis is away.
    pub(crate) is_volatile: bool,
}

impl Bus {
    /// Starts a bus on the Redis that `TIDINGS_URL` names, or else on `redis://127.0.0.1:6379`,
    /// with defaults for everything.
    ///
    /// # Errors
    ///
    /// When there is no Tokio runtime, Redis cannot be reached within 10 s or refuses this process, or
    /// a handler marked `#[tidings::on]` cannot be registered.
    ///
    /// # Panics
    ///
    /// In a Tokio runtime without timers and I/O (`enable_all`).
    pub async fn start() -> Result<Self, StartError> {
        Self::builder(&url::from_environment()?).start().await
    }

    /// Begins to describe a bus on `url`, whatever `TIDINGS_URL` says:
    ///
    /// | | |
    /// |---|---|
    /// | `redis://user:password@host:port/db` | one Redis, over TCP; all but the host may be missing |
    /// | `rediss://user:password@host:port/db` | the same with TLS, which needs the feature `tls` |
    /// | `unix:///path?user=…&pass=…&db=…` | one Redis, over a Unix socket |
    /// | `redis+sentinel://user:password@host:port,host:port/master` | the master that these sentinels name; `rediss+sentinel:` with TLS |
    /// | `memory:name` | no Redis: all buses of this process under this name |
    ///
    /// White space around it does not count. Odd characters in a user, a password or a path are
    /// written with `%`, such as `%23` for `#`.
    pub fn builder(url: &str) -> Builder {
        Builder::new(url)
    }

    /// This bus's id: other processes can [`send_to`](Self::send_to) it.
    pub fn id(&self) -> NodeId {
        self.inner.me
    }

    /// Calls `handler` for each event heard under `event`: a name, or an event's key.
    ///
    /// One subscription handles one sender's events in the order they were sent, one at a time. A
    /// handler that fails, panics or takes longer than 30 s is reported, and the next event is
    /// handled.
    ///
    /// ```
    /// # use tidings::prelude::*;
    /// # #[derive(Debug, Serialize, Deserialize, Event)]
    /// # struct UserRenamed { id: u64 }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let bus = Bus::builder("memory:on-docs").start().await?;
    /// let clearing = bus.on("cache.clear", |key: String| async move { println!("drop {key}") })?;
    /// bus.on(UserRenamed::EVENT, |renamed: UserRenamed, context: Context| async move {
    ///     println!("user {} was renamed by {:?}", renamed.id, context.from());
    /// })?;
    /// bus.off(clearing).await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// When the name cannot travel, the handler asks for a state that is not there, another type
    /// claims the name, or the bus is shut down.
    pub fn on<K, P, Args, H>(&self, event: K, handler: H) -> Result<Subscription, OnError>
    where
        K: HearKey<P>,
        P: Send + 'static,
        Args: 'static,
        H: Handler<P, Args>,
    {
        self.register(event.wanted(), Handling::default(), handler, false)
    }

    /// As [`on`](Self::on), with a queue, concurrency and time-out of your choice.
    ///
    /// # Errors
    ///
    /// As [`on`](Self::on), and when a bound is zero.
    pub fn on_with<K, P, Args, H>(
        &self,
        event: K,
        handling: Handling,
        handler: H,
    ) -> Result<Subscription, OnError>
    where
        K: HearKey<P>,
        P: Send + 'static,
        Args: 'static,
        H: Handler<P, Args>,
    {
        self.register(event.wanted(), handling, handler, false)
    }

    /// As [`on`](Self::on), for the first event only. A payload that the handler cannot take does
    /// not count.
    ///
    /// # Errors
    ///
    /// As [`on`](Self::on).
    pub fn once<K, P, Args, H>(&self, event: K, handler: H) -> Result<Subscription, OnError>
    where
        K: HearKey<P>,
        P: Send + 'static,
        Args: 'static,
        H: Handler<P, Args>,
    {
        self.register(event.wanted(), Handling::default(), handler, true)
    }

    /// Short for `on(E::EVENT, handler)`: the event is what the handler takes.
    ///
    /// # Errors
    ///
    /// As [`on`](Self::on).
    pub fn subscribe<P, Args, H>(&self, handler: H) -> Result<Subscription, OnError>
    where
        P: EventPayload,
        Args: 'static,
        H: Handler<P, Args>,
    {
        self.on::<EventKey<P::Event>, P, Args, H>(EventKey::new(), handler)
    }

    /// Short for `send_to_all(E::EVENT, event)`.
    ///
    /// # Errors
    ///
    /// As [`send_to_all`](Self::send_to_all).
    pub fn publish<'a, E: crate::Event + Sync>(
        &'a self,
        event: &'a E,
    ) -> Sending<'a, EventKey<E>, E, impl Future<Output = Result<Receipt, SendError>>> {
        self.send_to_all(E::EVENT, event)
    }

    /// Takes a handler back and waits for the call that is running; what waits for it is dropped.
    /// From within the handler itself it does not wait; a task that the handler spawned and waits
    /// for must not call it.
    pub async fn off(&self, subscription: Subscription) {
        let seat = subscription.seat;
        self.remove(&seat);
        seat.ended().await;
    }

    /// The events heard under `event` as a stream, for those who would rather loop.
    ///
    /// ```
    /// # use tidings::prelude::*;
    /// # #[derive(Debug, Serialize, Deserialize, Event)]
    /// # struct UserRenamed { id: u64 }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let bus = Bus::builder("memory:stream-docs").start().await?;
    /// let mut renames = bus.stream(UserRenamed::EVENT)?;
    /// bus.publish(&UserRenamed { id: 7 }).await?;
    /// assert_eq!(renames.next().await.map(|renamed| renamed.id), Some(7));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`on`](Self::on).
    #[expect(
        clippy::needless_pass_by_value,
        reason = "keys are given as everywhere else"
    )]
    pub fn stream<K, P>(&self, event: K) -> Result<EventStream<P>, OnError>
    where
        K: StreamKey<P>,
        P: Send + 'static,
    {
        self.check_open()?;
        let wanted = event.wanted();
        wanted.names.check()?;
        let handler = label(&wanted.names.label::<P>(), "a stream");
        let seat = Arc::new(Seat::of_stream(handler));
        self.inner
            .dispatcher
            .add(Arc::clone(&seat), wanted.names, wanted.shares)?;
        Ok(EventStream::new(seat, self.downgrade(), wanted.decode))
    }

    /// Calls `handler` for each gap: something may have been missed, so read the truth again. It
    /// hears of gaps that come after; given to the [builder](Builder::on_gap), of all.
    ///
    /// ```
    /// # use tidings::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let bus = Bus::builder("memory:gap-docs").start().await?;
    /// bus.on_gap(|gap: Gap| async move { println!("{gap}: clearing the whole cache") })?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// When the handler asks for a state that is not there, or the bus is shut down.
    pub fn on_gap<Args, H>(&self, handler: H) -> Result<Subscription, OnError>
    where
        Args: 'static,
        H: Handler<Gap, Args>,
    {
        self.check_open()?;
        handler
            .check(self)
            .map_err(|source| missing("on_gap", source))?;
        let gaps = Arc::new(GapBox::default());
        let label = label("gap", type_name::<H>());
        let seat = Arc::new(Seat::of_gaps(label, Arc::clone(&gaps)));
        let handling = hear_gaps(Arc::clone(&seat), gaps, self.downgrade(), handler);
        let task = as_seat(&seat, handling);
        self.inner.reports.add(Arc::clone(&seat))?;
        self.inner.dispatcher.changed.notify_one();
        Ok(self.run(seat, task))
    }

    /// The same bus, for events that are worth nothing when they are late: what is sent through this
    /// clone fails at once while Redis is away, instead of waiting for it. An event that waits in a
    /// frame or is on its way when the connection is lost shares the fate of the others there.
    /// [`Builder::volatile`] is for all that a bus sends, and gives up those, too.
    ///
    /// ```
    /// # use tidings::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let bus = Bus::builder("memory:volatile-docs").start().await?;
    /// if bus.volatile().send_to_all("cursor.moved", &(12, 7)).await.is_err() {
    ///     // Nobody needs to know where it was a minute ago.
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use = "only what is sent through the clone is volatile"]
    pub fn volatile(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            held: self.held.clone(),
            is_volatile: true,
        }
    }

    /// How the bus is doing at this moment.
    pub fn health(&self) -> Health {
        self.watch_health().now()
    }

    /// Tells of each change: when the bus stops hearing and why, and when it hears again. Holding
    /// it does not keep the bus alive.
    pub fn watch_health(&self) -> HealthWatch {
        HealthWatch::new(&self.inner.pulse, Arc::clone(self.inner.outgoing.bytes()))
    }

    /// Whether the bus hears, for a service's readiness probe: `false` from the moment at which it
    /// is known to be deaf until Redis confirmed its subscription again.
    pub fn ready(&self) -> bool {
        matches!(*self.inner.pulse.connection.borrow(), Connection::Up { .. })
    }

    /// Ends the bus within `deadline`: hears what it sent itself and Redis took, stops hearing,
    /// lets handlers finish what waits for them, sends what waits, and disconnects. Later sends
    /// fail. What is read from streams can still be read.
    ///
    /// It goes on when this future is dropped. A second call waits for the first, and ends as it
    /// does.
    ///
    /// # Errors
    ///
    /// When the time was up: the error counts what was left behind.
    pub async fn shutdown(&self, deadline: Duration) -> Result<(), ShutdownError> {
        let ending = {
            let mut ending = self.inner.lock_ending();
            let begin = || {
                shut_down(
                    Arc::clone(&self.inner),
                    Instant::now() + deadline.min(FOREVER),
                )
            };
            ending.get_or_insert_with(begin).clone()
        };
        ending.await
    }

    pub(crate) fn register<P, Args, H>(
        &self,
        wanted: Wanted<P>,
        handling: Handling,
        handler: H,
        is_once: bool,
    ) -> Result<Subscription, OnError>
    where
        P: Send + 'static,
        Args: 'static,
        H: Handler<P, Args>,
    {
        self.check_open()?;
        handling.check()?;
        wanted.names.check()?;
        let name = wanted.names.label::<P>();
        handler
            .check(self)
            .map_err(|source| missing(&name, source))?;
        let seat = Arc::new(Seat::new(label(&name, type_name::<H>()), handling));
        let names = wanted.names.list.iter().map(|name| &*name.name);
        let calls = Calls::new(names, wanted.names.other);
        let bus = self.downgrade();
        let worker = Worker {
            handler: OwnedHandler::new(handler, &seat, &bus),
            seat: Arc::clone(&seat),
            bus,
            decode: wanted.decode,
            is_once,
            calls,
            arguments: PhantomData,
        };
        let task = as_seat(&seat, worker.run());
        self.inner
            .dispatcher
            .add(Arc::clone(&seat), wanted.names, wanted.shares)?;
        Ok(self.run(seat, task))
    }

    /// Spawns the task of a subscription that was added. A shutdown in between waits for it.
    fn run(
        &self,
        seat: Arc<Seat>,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> Subscription {
        let task = self.inner.runtime.spawn(task);
        seat.task
            .set(task.abort_handle())
            .expect("a seat gets one task, here");
        Subscription { seat }
    }

    fn check_open(&self) -> Result<(), OnError> {
        if *self.inner.stage.borrow() != Stage::Open {
            return Err(OnError::Closed);
        }
        match *self.inner.pulse.connection.borrow() {
            // Only a runtime that ends takes the link along while the bus is open.
            Connection::Closed => Err(OnError::RuntimeEnded),
            _ => Ok(()),
        }
    }

    /// Polls a future in the runtime of the bus: what takes time can then be awaited on a thread
    /// that is none of Tokio's.
    pub(crate) fn in_runtime<F: Future>(&self, future: F) -> TokioContext<F> {
        TokioContext::new(future, self.inner.runtime.clone())
    }

    pub(crate) fn from_inner(inner: Inner) -> Self {
        let inner = Arc::new(inner);
        let held = Some(Arc::new(Held(Arc::clone(&inner))));
        Self {
            inner,
            held,
            is_volatile: false,
        }
    }

    /// Takes a subscription out, and drops what waits for it.
    pub(crate) fn remove(&self, seat: &Seat) {
        self.inner.dispatcher.remove(seat.id);
        self.inner.reports.remove(seat.id);
        seat.close();
    }

    pub(crate) fn states(&self) -> &States {
        &self.inner.states
    }

    pub(crate) fn reports(&self) -> &Reports {
        &self.inner.reports
    }

    pub(crate) fn downgrade(&self) -> WeakBus {
        WeakBus(Arc::downgrade(&self.inner))
    }
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus")
            .field("id", &self.inner.me)
            .field("address", &self.inner.pulse.address)
            .finish_non_exhaustive()
    }
}

/// A bus that may be gone.
#[derive(Clone)]
pub(crate) struct WeakBus(Weak<Inner>);

impl WeakBus {
    /// The bus, if it is still there. It does not keep it alive.
    pub(crate) fn upgrade(&self) -> Option<Bus> {
        self.0.upgrade().map(|inner| Bus {
            inner,
            held: None,
            is_volatile: false,
        })
    }
}

/// What people call a handler.
fn label(event: &str, handler: &str) -> Arc<str> {
    format!("{event} ({handler})").into()
}

fn missing(event: &str, source: MissingState) -> OnError {
    OnError::State {
        event: event.to_owned(),
        source,
    }
}
