//! Registering handlers and streams, and taking them back.
#![expect(
    clippy::needless_pass_by_value,
    reason = "a key is a name, and is given as one"
)]

use std::any::type_name;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::bus::Bus;
use crate::error::gap::Gap;
use crate::error::subscribe::{MissingState, SubscribeError};
use crate::event::{EventKey, Names, Unknown};
use crate::handler::Handler;
use crate::handler::key::{AllEvents, EventPayload, ReceiveKey, StreamKey, Wanted};
use crate::handler::runner::{OwnedHandler, Runner, handle_gaps};
use crate::handler::stream::EventStream;
use crate::observe::health::Connection;
use crate::observe::metrics::Calls;
use crate::observe::reports::GapBox;
use crate::receive::subscription::{
    HandlerOptions, Subscription, SubscriptionSlot, in_subscription,
};
use crate::task::stage::Stage;

impl Bus {
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
    ///     println!("user {} was renamed by {:?}", renamed.id, context.sender());
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
    pub fn on<K, P, Args, H>(&self, event: K, handler: H) -> Result<Subscription, SubscribeError>
    where
        K: ReceiveKey<P>,
        P: Send + 'static,
        Args: 'static,
        H: Handler<P, Args>,
    {
        self.register(event.wanted(), HandlerOptions::default(), handler, false)
    }

    /// As [`on`](Self::on), with a queue, concurrency and time-out of your choice.
    ///
    /// # Errors
    ///
    /// As [`on`](Self::on), and when a bound is zero.
    pub fn on_with<K, P, Args, H>(
        &self,
        event: K,
        handling: HandlerOptions,
        handler: H,
    ) -> Result<Subscription, SubscribeError>
    where
        K: ReceiveKey<P>,
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
    pub fn once<K, P, Args, H>(&self, event: K, handler: H) -> Result<Subscription, SubscribeError>
    where
        K: ReceiveKey<P>,
        P: Send + 'static,
        Args: 'static,
        H: Handler<P, Args>,
    {
        self.register(event.wanted(), HandlerOptions::default(), handler, true)
    }

    /// Short for `on(E::EVENT, handler)`: the event is what the handler takes.
    ///
    /// # Errors
    ///
    /// As [`on`](Self::on).
    pub fn subscribe<P, Args, H>(&self, handler: H) -> Result<Subscription, SubscribeError>
    where
        P: EventPayload,
        Args: 'static,
        H: Handler<P, Args>,
    {
        self.on::<EventKey<P::Event>, P, Args, H>(EventKey::new(), handler)
    }

    /// Calls `handler` for all events, whatever their names: those that no other handler names, and
    /// those that one does. It is short for `on(AllEvents, handler)`; [`AllEvents`] also goes with
    /// [`on_with`](Self::on_with) and [`stream`](Self::stream).
    ///
    /// The payload is not decoded. Events of the buses themselves, `tidings.…`, are not among them.
    ///
    /// ```
    /// # use tidings::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let bus = Bus::builder("memory:subscribe-all-docs").start().await?;
    /// bus.subscribe_all(|event: Unknown| async move {
    ///     println!("{}: {:?}", event.name(), event.payload());
    /// })?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`on`](Self::on).
    pub fn subscribe_all<Args, H>(&self, handler: H) -> Result<Subscription, SubscribeError>
    where
        Args: 'static,
        H: Handler<Unknown, Args>,
    {
        self.on(AllEvents, handler)
    }

    /// Takes a handler back and waits for the call that is running; what waits for it is dropped.
    /// From within the handler itself it does not wait; a task that the handler spawned and waits
    /// for must not call it.
    pub async fn off(&self, subscription: Subscription) {
        let subscription = subscription.subscription;
        self.remove(&subscription);
        subscription.ended().await;
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
    pub fn stream<K, P>(&self, event: K) -> Result<EventStream<P>, SubscribeError>
    where
        K: StreamKey<P>,
        P: Send + 'static,
    {
        self.check_open()?;
        let wanted = event.wanted();
        wanted.names.check()?;
        let handler = label(&wanted.names.label::<P>(), "a stream");
        let subscription = Arc::new(SubscriptionSlot::of_stream(handler));
        self.inner
            .dispatcher
            .add(Arc::clone(&subscription), wanted.names, wanted.shares)?;
        Ok(EventStream::new(
            subscription,
            self.downgrade(),
            wanted.decode,
        ))
    }

    /// Calls `handler` for each gap: something may have been missed, so read the truth again. It
    /// hears of gaps that come after; given to the [builder](crate::BusBuilder::on_gap), of all.
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
    pub fn on_gap<Args, H>(&self, handler: H) -> Result<Subscription, SubscribeError>
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
        let subscription = Arc::new(SubscriptionSlot::of_gaps(label, Arc::clone(&gaps)));
        let handling = handle_gaps(
            Arc::clone(&subscription),
            Arc::clone(&gaps),
            self.downgrade(),
            handler,
        );
        let task = in_subscription(&subscription, handling);
        let dispatcher = &self.inner.dispatcher;
        dispatcher.add(Arc::clone(&subscription), Names::default(), None)?;
        self.inner.reports.add(subscription.id, gaps);
        Ok(self.run(subscription, task))
    }

    pub(crate) fn register<P, Args, H>(
        &self,
        wanted: Wanted<P>,
        handling: HandlerOptions,
        handler: H,
        is_once: bool,
    ) -> Result<Subscription, SubscribeError>
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
        let subscription = Arc::new(SubscriptionSlot::new(
            label(&name, type_name::<H>()),
            handling,
        ));
        let names = wanted.names.list.iter().map(|name| &*name.name);
        let calls = Calls::new(names, wanted.names.other);
        let bus = self.downgrade();
        let worker = Runner {
            handler: OwnedHandler::new(handler, &subscription, &bus),
            subscription: Arc::clone(&subscription),
            bus,
            decode: wanted.decode,
            is_once,
            calls,
            arguments: PhantomData,
        };
        let task = in_subscription(&subscription, worker.run());
        self.inner
            .dispatcher
            .add(Arc::clone(&subscription), wanted.names, wanted.shares)?;
        Ok(self.run(subscription, task))
    }

    /// Spawns the task of a subscription that was added. A shutdown in between waits for it.
    fn run(
        &self,
        subscription: Arc<SubscriptionSlot>,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> Subscription {
        let task = self.inner.runtime.spawn(task);
        subscription
            .task
            .set(task.abort_handle())
            .expect("a seat gets one task, here");
        Subscription { subscription }
    }

    fn check_open(&self) -> Result<(), SubscribeError> {
        if *self.inner.stage.borrow() != Stage::Open {
            return Err(SubscribeError::Closed);
        }
        match *self.inner.health.connection.borrow() {
            // Only a runtime that ends takes the link along while the bus is open.
            Connection::Closed => Err(SubscribeError::RuntimeEnded),
            _ => Ok(()),
        }
    }
}

/// What people call a handler.
fn label(event: &str, handler: &str) -> Arc<str> {
    format!("{event} ({handler})").into()
}

fn missing(event: &str, source: MissingState) -> SubscribeError {
    SubscribeError::State {
        event: event.to_owned(),
        source,
    }
}
