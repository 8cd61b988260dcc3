//! The bus: the handle that a program holds to hear and to send.
#![expect(
    clippy::needless_pass_by_value,
    reason = "a key is a name, and is given as one"
)]

use std::any::type_name;
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tidings_codec::{Format, NodeId, To};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::builder::Builder;
use crate::context::{Context, States};
use crate::dispatch::Dispatcher;
use crate::error::{FlushError, MissingState, OnError, SendError, ShutdownError, StartError};
use crate::event::{EventKey, Names};
use crate::failure::{Failure, Gap};
use crate::handler::Handler;
use crate::health::{Health, Pulse};
use crate::key::{EventPayload, HearKey, SendKey, StreamKey};
use crate::link::Stage;
use crate::outgoing::{Outgoing, Wait, fate};
use crate::pending::{Outcome, Ticket};
use crate::reports::{GapBox, Reports};
use crate::stream::EventStream;
use crate::subscription::{Handling, Seat, Subscription};
use crate::transport::url;
use crate::worker::{Worker, attempt};

/// A process's place on the bus: hears and sends events. Cheap to clone; when the last clone is
/// dropped, its tasks end.
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
    inner: Arc<Inner>,
}

/// What all clones of a bus share.
pub(crate) struct Inner {
    pub(crate) me: NodeId,
    pub(crate) outgoing: Arc<Outgoing>,
    pub(crate) dispatcher: Arc<Dispatcher>,
    pub(crate) reports: Arc<Reports>,
    pub(crate) pulse: Arc<Pulse>,
    pub(crate) states: States,
    pub(crate) stage: watch::Sender<Stage>,
    pub(crate) tasks: Mutex<Vec<JoinHandle<()>>>,
    pub(crate) runtime: Handle,
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
    pub async fn start() -> Result<Self, StartError> {
        let url = std::env::var(url::VARIABLE).unwrap_or_else(|_| url::DEFAULT.to_owned());
        Self::builder(&url).start().await
    }

    /// Begins to describe a bus on `url`: `redis://user:password@host:port/db`,
    /// `unix:///path?user=…&pass=…&db=…`, or `memory:name` for buses of one process.
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
        K: HearKey<P> + 'static,
        P: Send + 'static,
        Args: 'static,
        H: Handler<P, Args>,
    {
        self.register::<K, P, Args, H>(event.names(), Handling::default(), handler, false)
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
        K: HearKey<P> + 'static,
        P: Send + 'static,
        Args: 'static,
        H: Handler<P, Args>,
    {
        self.register::<K, P, Args, H>(event.names(), handling, handler, false)
    }

    /// As [`on`](Self::on), for the first event only. A payload that the handler cannot take does
    /// not count.
    ///
    /// # Errors
    ///
    /// As [`on`](Self::on).
    pub fn once<K, P, Args, H>(&self, event: K, handler: H) -> Result<Subscription, OnError>
    where
        K: HearKey<P> + 'static,
        P: Send + 'static,
        Args: 'static,
        H: Handler<P, Args>,
    {
        self.register::<K, P, Args, H>(event.names(), Handling::default(), handler, true)
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

    /// Takes a handler back and waits for the call that is running; events that wait for it are
    /// dropped. From within the handler itself it does not wait.
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
        K: StreamKey<P> + 'static,
        P: Send + 'static,
    {
        self.check_open()?;
        let names = event.names();
        names.check()?;
        let handler = label(&names.label::<P>(), "a stream");
        let seat = Arc::new(Seat::new(handler, Handling::default()));
        self.inner
            .dispatcher
            .add(Arc::clone(&seat), names, K::shares())?;
        Ok(EventStream::new(seat, self.downgrade(), |heard| {
            K::decode(heard)
        }))
    }

    /// Calls `handler` for each gap: something may have been missed, so read the truth again.
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
        let gaps = self.inner.reports.add_gap_box();
        let mut seat = Seat::new(label("gap", type_name::<H>()), Handling::new());
        seat.gaps = Some(Arc::clone(&gaps));
        let seat = Arc::new(seat);
        let running = hear_gaps(Arc::clone(&seat), gaps, self.downgrade(), handler);
        self.run(&seat, running);
        Ok(Subscription { seat })
    }

    /// Sends an event to every process, this one included, and waits until Redis took it.
    ///
    /// While nothing is under way it leaves at once; otherwise it travels with what else waits.
    /// While Redis is away it waits in the outgoing queue, for 30 s by default.
    ///
    /// # Errors
    ///
    /// When the event cannot be written, or Redis did not acknowledge it:
    /// [`SendError::Fate`] says whether it may have been published all the same.
    pub async fn send_to_all<K, T>(&self, event: K, data: &T) -> Result<Receipt, SendError>
    where
        K: SendKey<T>,
        T: ?Sized + Sync,
    {
        self.send(event, data, To::All).await
    }

    /// As [`send_to_all`](Self::send_to_all), to every process but this one.
    ///
    /// # Errors
    ///
    /// As [`send_to_all`](Self::send_to_all).
    pub async fn send_to_others<K, T>(&self, event: K, data: &T) -> Result<Receipt, SendError>
    where
        K: SendKey<T>,
        T: ?Sized + Sync,
    {
        self.send(event, data, To::Others).await
    }

    /// As [`send_to_all`](Self::send_to_all), to the one process whose [`id`](Self::id) is `node`.
    /// Nobody says whether there is one.
    ///
    /// # Errors
    ///
    /// As [`send_to_all`](Self::send_to_all).
    pub async fn send_to<K, T>(
        &self,
        node: NodeId,
        event: K,
        data: &T,
    ) -> Result<Receipt, SendError>
    where
        K: SendKey<T>,
        T: ?Sized + Sync,
    {
        self.send(event, data, To::Node(node)).await
    }

    /// Short for `send_to_all(E::EVENT, event)`.
    ///
    /// # Errors
    ///
    /// As [`send_to_all`](Self::send_to_all).
    pub async fn publish<E: crate::Event + Sync>(&self, event: &E) -> Result<Receipt, SendError> {
        self.send_to_all(E::EVENT, event).await
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
    /// When the event cannot be written, or the queue stays full for 30 s.
    pub async fn feed<K, T>(&self, event: K, data: &T) -> Result<(), SendError>
    where
        K: SendKey<T>,
        T: ?Sized + Sync,
    {
        let ticket = self.append(&event, data, To::All, Wait::Fed).await?;
        if ticket.has_closed {
            // A frame is full: on a runtime of one thread, somebody must get to send it.
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Waits until everything that was fed has its fate: Redis took all of it, or the error names
    /// what it did not take.
    ///
    /// # Errors
    ///
    /// When fed events were given up since the last flush.
    pub async fn flush(&self) -> Result<(), FlushError> {
        self.inner.outgoing.settled().await;
        self.inner.outgoing.take_unsent()
    }

    /// How the bus is doing.
    pub fn health(&self) -> Health {
        self.inner.pulse.health(self.inner.outgoing.bytes())
    }

    /// Stops hearing, lets handlers finish what waits for them, sends what waits, and disconnects;
    /// all within `deadline`. Later sends fail; a second shutdown has nothing to do.
    ///
    /// # Errors
    ///
    /// When the time was up: the error counts what was left behind.
    pub async fn shutdown(&self, deadline: Duration) -> Result<(), ShutdownError> {
        let deadline = Instant::now() + deadline;
        let inner = &*self.inner;
        if !self.advance(Stage::Draining) {
            return Ok(());
        }
        let (unhandled, running) = drain(inner.dispatcher.clear(), deadline).await;
        inner.outgoing.shut();
        let is_settled = timeout_at(deadline, inner.outgoing.settled()).await.is_ok();
        let unsent = if is_settled {
            0
        } else {
            inner.outgoing.unresolved()
        };
        self.advance(if is_settled {
            Stage::Leaving
        } else {
            Stage::Closed
        });
        let tasks =
            std::mem::take(&mut *inner.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        for task in tasks {
            // They end by themselves now; a panic in one of them is in the log.
            let _ = timeout_at(deadline + Duration::from_millis(100), task).await;
        }
        if unhandled == 0 && running == 0 && unsent == 0 {
            return Ok(());
        }
        Err(ShutdownError {
            unhandled,
            running,
            unsent,
        })
    }

    async fn send<K, T>(&self, event: K, data: &T, to: To) -> Result<Receipt, SendError>
    where
        K: SendKey<T>,
        T: ?Sized + Sync,
    {
        let ticket = self.append(&event, data, to, Wait::Awaited).await?;
        match ticket.pending.outcome().await {
            Outcome::Sent { first, receivers } => Ok(Receipt {
                number: first + u64::from(ticket.index),
                receivers,
            }),
            Outcome::Failed(outcome) => Err(fate(event.name(data), outcome)),
        }
    }

    async fn append<K, T>(
        &self,
        event: &K,
        data: &T,
        to: To,
        wait: Wait,
    ) -> Result<Ticket, SendError>
    where
        K: SendKey<T>,
        T: ?Sized + Sync,
    {
        let name = event.name(data);
        let encode = |format: Format, into: &mut Vec<u8>| K::encode(data, format, into);
        self.inner.outgoing.append(name, to, wait, encode).await
    }

    fn register<K, P, Args, H>(
        &self,
        names: Names,
        handling: Handling,
        handler: H,
        is_once: bool,
    ) -> Result<Subscription, OnError>
    where
        K: HearKey<P> + 'static,
        P: Send + 'static,
        Args: 'static,
        H: Handler<P, Args>,
    {
        self.check_open()?;
        handling.check()?;
        names.check()?;
        let name = names.label::<P>();
        handler
            .check(self)
            .map_err(|source| missing(&name, source))?;
        let seat = Arc::new(Seat::new(label(&name, type_name::<H>()), handling));
        self.inner
            .dispatcher
            .add(Arc::clone(&seat), names, K::shares())?;
        let worker = Worker::<K, P, Args, H> {
            seat: Arc::clone(&seat),
            bus: self.downgrade(),
            handler,
            is_once,
            types: PhantomData,
        };
        self.run(&seat, worker.run());
        Ok(Subscription { seat })
    }

    fn run(&self, seat: &Seat, running: impl Future<Output = ()> + Send + 'static) {
        let task = self.inner.runtime.spawn(running);
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

    /// Takes the bus on to a later stage; `false` when it is there already.
    fn advance(&self, to: Stage) -> bool {
        self.inner.advance(to)
    }

    pub(crate) fn from_inner(inner: Inner) -> Self {
        Self {
            inner: Arc::new(inner),
        }
    }

    pub(crate) fn add_task(&self, task: JoinHandle<()>) {
        self.inner
            .tasks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(task);
    }

    /// Takes a subscription out, and drops what waits for it.
    pub(crate) fn remove(&self, seat: &Seat) {
        self.inner.dispatcher.remove(seat.id);
        if let Some(gaps) = &seat.gaps {
            self.inner.reports.remove_gap_box(gaps);
        }
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

impl Inner {
    fn advance(&self, to: Stage) -> bool {
        self.stage.send_if_modified(|stage| {
            let is_later = *stage < to;
            *stage = (*stage).max(to);
            is_later
        })
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        for seat in self.dispatcher.clear() {
            seat.close();
        }
        self.reports.close_gaps();
        self.outgoing.shut();
        // The sender still lets what waits leave, for a moment.
        self.advance(Stage::Leaving);
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
    pub(crate) fn upgrade(&self) -> Option<Bus> {
        self.0.upgrade().map(|inner| Bus { inner })
    }
}

/// Lets each handler finish what waits for it; how many events and calls the deadline cut off.
async fn drain(seats: Vec<Arc<Seat>>, deadline: Instant) -> (u64, u64) {
    let (mut unhandled, mut running) = (0, 0);
    for seat in &seats {
        seat.queue.drain();
    }
    for seat in seats {
        if timeout_at(deadline, seat.ended()).await.is_err() {
            unhandled += seat.close();
            running += 1;
            seat.task
                .get()
                .into_iter()
                .for_each(tokio::task::AbortHandle::abort);
        }
    }
    (unhandled, running)
}

async fn hear_gaps<Args, H: Handler<Gap, Args>>(
    seat: Arc<Seat>,
    gaps: Arc<GapBox>,
    bus: WeakBus,
    handler: H,
) {
    let timeout = seat.handling.timeout;
    let hearing = async {
        while let Some(gap) = gaps.next().await {
            let Some(bus) = bus.upgrade() else { return };
            let mut context = Context::new(bus, Arc::from("gap"));
            context.from = gap.from;
            let Err(cause) = attempt(handler.handle(gap, &context), timeout).await else {
                continue;
            };
            let (event, from) = (context.event.to_string(), context.from);
            let handler = Arc::clone(&seat.handler);
            context.bus.reports().failure(Failure::Handler {
                event,
                handler,
                from,
                number: None,
                cause,
            });
        }
    };
    crate::worker::as_seat(&seat, hearing).await;
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
