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

use tidings_codec::{Encoder, NodeId, To};
use tokio::time::Instant;

use crate::builder::{Builder, FOREVER};
use crate::context::States;
use crate::error::{FlushError, MissingState, OnError, SendError, ShutdownError, StartError};
use crate::event::EventKey;
use crate::failure::Gap;
use crate::handler::Handler;
use crate::health::{Connection, Health, HealthWatch};
use crate::key::{EventPayload, HearKey, SendKey, StreamKey, Wanted};
use crate::life::{Held, Inner, shut_down};
use crate::link::Stage;
use crate::metrics::Calls;
use crate::notices::is_notice;
use crate::outgoing::{Address, Manner, Unwritten, Wait, fate};
use crate::pending::{Outcome, Pending, Ticket};
use crate::reports::{GapBox, Reports};
use crate::sending::Sending;
use crate::stream::EventStream;
use crate::subscription::{Handling, Seat, Subscription};
use crate::trace::{Carried, sending};
use crate::transport::url;
use crate::worker::{Worker, as_seat, hear_gaps};

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
    is_volatile: bool,
}

/// What Redis said when it took an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// The event's number: this bus counts what it sends from 1.
    pub number: u64,
    /// How many connections heard the frame that carried it, this bus's own included. `None` where
    /// the number would mean nothing.
    pub receivers: Option<u64>,
}

impl Bus {
    /// Starts a bus on the Redis that `TIDINGS_URL` names, or else on `redis://127.0.0.1:6379`,
    /// with defaults for everything.
    ///
    /// # Errors
    ///
    /// When Redis cannot be reached within 10 s, refuses this process, or a handler marked
    /// `#[tidings::on]` cannot be registered.
    ///
    /// # Panics
    ///
    /// Outside of a Tokio runtime, or in one without timers and I/O (`enable_all`).
    pub async fn start() -> Result<Self, StartError> {
        let url = std::env::var(url::VARIABLE).unwrap_or_else(|_| url::DEFAULT.to_owned());
        Self::builder(&url).start().await
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
        let seat = Arc::new(Seat::new(handler, Handling::default()));
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
        self.inner.reports.add(Arc::clone(&seat));
        self.inner.dispatcher.changed.notify_one();
        let running = hear_gaps(Arc::clone(&seat), gaps, self.downgrade(), handler);
        self.run(&seat, running);
        Ok(Subscription { seat })
    }

    /// Sends an event to every process, this one included, and waits until Redis took it.
    ///
    /// While nothing is under way it leaves at once; otherwise it travels with what else waits.
    /// While Redis is away it waits in the outgoing queue, for 30 s by default
    /// ([`send_timeout`](Builder::send_timeout)).
    ///
    /// The payload is encoded here, and other senders of this bus wait meanwhile: its `Serialize`
    /// must not wait for them. Dropping the future does not take the event back: it leaves, or is
    /// reported as a fed one.
    ///
    /// To wait until those who hear it have handled it, too, ask for it:
    /// [`acknowledged`](Sending::acknowledged).
    ///
    /// # Errors
    ///
    /// When the event cannot be written, or Redis did not acknowledge it:
    /// [`SendError::Fate`] says whether it may have been published all the same.
    pub fn send_to_all<'a, K, T>(
        &'a self,
        event: K,
        data: &'a T,
    ) -> Sending<'a, K, T, impl Future<Output = Result<Receipt, SendError>>>
    where
        K: SendKey<T>,
        T: ?Sized + Sync,
    {
        self.sending(event, data, To::All)
    }

    /// As [`send_to_all`](Self::send_to_all), to every process but this one.
    ///
    /// # Errors
    ///
    /// As [`send_to_all`](Self::send_to_all).
    pub fn send_to_others<'a, K, T>(
        &'a self,
        event: K,
        data: &'a T,
    ) -> Sending<'a, K, T, impl Future<Output = Result<Receipt, SendError>>>
    where
        K: SendKey<T>,
        T: ?Sized + Sync,
    {
        self.sending(event, data, To::Others)
    }

    /// As [`send_to_all`](Self::send_to_all), to the one process whose [`id`](Self::id) is `node`.
    ///
    /// The first time it asks Redis whether there is one; from then on that is known. Where it
    /// cannot be known, as without the permission to be a member, it is sent all the same.
    ///
    /// # Errors
    ///
    /// As [`send_to_all`](Self::send_to_all), and when no [member](Self::members) has that id, nor
    /// gets it within half a second. A bus
    /// [`without_membership`](crate::Builder::without_membership) has none that can be found.
    pub fn send_to<'a, K, T>(
        &'a self,
        node: NodeId,
        event: K,
        data: &'a T,
    ) -> Sending<'a, K, T, impl Future<Output = Result<Receipt, SendError>>>
    where
        K: SendKey<T>,
        T: ?Sized + Sync,
    {
        let to = To::Node(node);
        let sending = async move {
            self.reach(node, event.name(data)).await?;
            self.send(event, data, to.into()).await
        };
        Sending::new(self, event, data, to, sending)
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

    /// Sends an event to every process without waiting for Redis: waits only while 4 MiB of events
    /// are on their way to a Redis that is there, or while the outgoing queue is full when it is
    /// away. [`flush`](Self::flush) says afterwards what became of all of them; what is
    /// given up is also reported to `on_failure`.
    ///
    /// ```
    /// # use tidings::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let bus = Bus::builder("memory:feed-docs").start().await?;
    /// for order in 1..=1_000_u64 {
    ///     bus.feed("order.placed", &order).await?;
    /// }
    /// bus.flush().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// When the event cannot be written, the bus is shut down, the queue stays full for 30 s
    /// ([`send_timeout`](Builder::send_timeout)), or a [`volatile`](Builder::volatile) bus is away
    /// from Redis.
    pub async fn feed<K, T>(&self, event: K, data: &T) -> Result<(), SendError>
    where
        K: SendKey<T>,
        T: ?Sized + Sync,
    {
        let ticket = self.append(&event, data, To::All.into(), Wait::Fed).await?;
        if ticket.has_closed {
            // A frame is full: on a runtime of one thread, somebody must get to send it.
            tokio::task::yield_now().await;
        }
        Ok(())
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

    /// Waits until everything that was fed has its fate: Redis took all of it, or the error names
    /// what it did not take.
    ///
    /// # Errors
    ///
    /// When fed events were given up since the last flush. There is one list of them: where
    /// several tasks flush, one of them gets it.
    pub async fn flush(&self) -> Result<(), FlushError> {
        self.inner.outgoing.settled().await;
        self.inner.outgoing.take_unsent()
    }

    /// How the bus is doing at this moment.
    pub fn health(&self) -> Health {
        self.inner.pulse.health(self.inner.outgoing.bytes())
    }

    /// Tells of each change: when the bus stops hearing and why, and when it hears again. Holding
    /// it does not keep the bus alive.
    pub fn watch_health(&self) -> HealthWatch {
        HealthWatch::new(&self.inner.pulse, &self.inner.outgoing)
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

    fn sending<'a, K, T>(
        &'a self,
        event: K,
        data: &'a T,
        to: To,
    ) -> Sending<'a, K, T, impl Future<Output = Result<Receipt, SendError>>>
    where
        K: SendKey<T>,
        T: ?Sized + Sync,
    {
        Sending::new(self, event, data, to, self.send(event, data, to.into()))
    }

    pub(crate) async fn send<K, T>(
        &self,
        event: K,
        data: &T,
        address: Address<'_>,
    ) -> Result<Receipt, SendError>
    where
        K: SendKey<T>,
        T: ?Sized + Sync,
    {
        let name = event.name(data);
        let awaiting = async {
            let awaited = self.hand_over(&event, data, address).await?;
            awaited.receipt(name).await
        };
        sending(name, awaiting).await
    }

    /// Puts an event in line, for somebody who waits for what becomes of it.
    pub(crate) async fn hand_over<K, T>(
        &self,
        event: &K,
        data: &T,
        address: Address<'_>,
    ) -> Result<Awaited, SendError>
    where
        K: SendKey<T>,
        T: ?Sized + Sync,
    {
        let ticket = self.append(event, data, address, Wait::Awaited).await?;
        Ok(Awaited {
            pending: ticket.awaited.expect("who waits is given what to wait for"),
            index: ticket.index,
        })
    }

    async fn append<K, T>(
        &self,
        event: &K,
        data: &T,
        address: Address<'_>,
        wait: Wait,
    ) -> Result<Ticket, SendError>
    where
        K: SendKey<T>,
        T: ?Sized + Sync,
    {
        let manner = Manner {
            wait,
            is_volatile: self.is_volatile,
        };
        let name = event.name(data);
        if is_notice(name.as_bytes()) {
            let event = name.to_owned();
            return Err(SendError::Reserved { event });
        }
        let event = Unwritten {
            name,
            to: address.to,
            carried: &Carried::current(),
            meta: address.meta,
        };
        let encode = |into: Encoder<'_>| K::encode(data, into);
        let outgoing = &self.inner.outgoing;
        // There is room most of the time, and nothing to be set up for a wait.
        match outgoing.try_append(event, manner, &encode)? {
            Some(ticket) => Ok(ticket),
            None => outgoing.append(event, manner, encode).await,
        }
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
        let calls = Calls::new(&wanted.names);
        self.inner
            .dispatcher
            .add(Arc::clone(&seat), wanted.names, wanted.shares)?;
        let worker = Worker {
            seat: Arc::clone(&seat),
            bus: self.downgrade(),
            decode: wanted.decode,
            handler,
            is_once,
            calls,
            arguments: PhantomData,
        };
        self.run(&seat, worker.run());
        Ok(Subscription { seat })
    }

    fn run(&self, seat: &Arc<Seat>, running: impl Future<Output = ()> + Send + 'static) {
        let task = self.inner.runtime.spawn(as_seat(seat, running));
        seat.task
            .set(task.abort_handle())
            .expect("a seat gets one task, here");
    }

    fn check_open(&self) -> Result<(), OnError> {
        let is_open = *self.inner.stage.borrow() == Stage::Open;
        if is_open {
            Ok(())
        } else {
            Err(OnError::Closed)
        }
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

/// Somebody waits for what becomes of an event. Who does not wait any more has fed it.
pub(crate) struct Awaited {
    pending: Arc<Pending>,
    index: u32,
}

impl Awaited {
    pub(crate) async fn receipt(self, event: &str) -> Result<Receipt, SendError> {
        match self.pending.outcome().await {
            Outcome::Sent { first, receivers } => Ok(Receipt {
                number: first + u64::from(self.index),
                receivers,
            }),
            Outcome::Failed(outcome) => Err(fate(event, outcome)),
        }
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        self.pending.nobody_waits(self.index);
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
