//! ruststream over fred: a typed handler of the framework, and its publisher.

use std::future::pending;
use std::num::NonZeroUsize;
use std::sync::Arc;

use ruststream::{Broker, OutgoingMessage, Publisher};
use ruststream_fred::pubsub::prelude::*;
use ruststream_fred::{RedisPubSubPublish, RedisPubSubPublisher};

use crate::event::{NAME, Sample};
use crate::sender::{self, SendOne, Sent, Window};
use crate::subscriber::Subscriber;
use crate::work::Work;

/// The events that wait for a handler before ruststream drops the oldest: more than a run has. The
/// default is 32.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(1 << 19).expect("it is not zero");

/// A handler of the framework. The channel is the event's name, and the payload is the event
/// without an envelope.
struct CountingHandler(Arc<Subscriber>);

impl<E: Sample> Handle<E> for CountingHandler {
    async fn handle(
        &self,
        event: &E,
        _outs: &(),
        _context: &mut Context<'_>,
    ) -> Result<(), HandlerOutcome> {
        self.0.handle(0, event);
        Ok(())
    }
}

pub(crate) async fn receive<E: Sample>(url: &str, counts: Arc<Subscriber>) -> anyhow::Result<()> {
    let handler = CountingHandler(Arc::clone(&counts));
    let source = RedisPubSub::new(NAME).buffer(CAPACITY);
    let app = RustStream::new(AppInfo::new("bench", "0.1.0")).with_broker(
        RedisBroker::standalone(url),
        |broker| {
            broker.include(subscriber::<_, E, _, _, _, _, _>(source, handler).build());
        },
    );
    let running = app.start().await?;
    counts.ready();
    pending::<()>().await;
    drop(running);
    Ok(())
}

pub(crate) async fn send<E: Sample>(url: &str, work: Work) -> anyhow::Result<Sent> {
    let connected = RedisBroker::standalone(url).connect().await?;
    let publisher = connected.pubsub_publisher(RedisPubSubPublish::new());
    let one = publisher.clone();
    let window = Window::new(move |name, event: E| {
        let one = one.clone();
        async move { one.send(name, event).await }
    });
    sender::send::<E, _, _>(work, publisher, window).await
}

impl<E: Sample> SendOne<E> for RedisPubSubPublisher {
    async fn send(&self, name: &'static str, event: E) -> anyhow::Result<()> {
        let payload = serde_json::to_vec(&event)?;
        let outgoing = OutgoingMessage::new(name, &payload);
        Ok(self.publish(outgoing, None).await?)
    }
}
