//! ruststream over fred: a typed handler of the framework, and its publisher.

use std::future::pending;
use std::num::NonZeroUsize;
use std::sync::Arc;

use ruststream::{Broker, OutgoingMessage, Publisher};
use ruststream_fred::pubsub::prelude::*;
use ruststream_fred::{RedisPubSubPublish, RedisPubSubPublisher};

use crate::event::{NAME, Sample};
use crate::hearing::Hearing;
use crate::sending::{self, SendOne, Sent, Window};
use crate::work::Work;

/// How many events wait for a handler before the oldest are dropped: more than a run has. By
/// default it is 32.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(1 << 19).expect("it is not zero");

/// A handler as the framework has them: here the channel is the event's name, and what travels is
/// the event itself, without an envelope.
struct Hears(Arc<Hearing>);

impl<E: Sample> Handle<E> for Hears {
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

pub(crate) async fn hear<E: Sample>(url: &str, hearing: Arc<Hearing>) -> anyhow::Result<()> {
    let handler = Hears(Arc::clone(&hearing));
    let source = RedisPubSub::new(NAME).buffer(CAPACITY);
    let app = RustStream::new(AppInfo::new("bench", "0.1.0")).with_broker(
        RedisBroker::standalone(url),
        |broker| {
            broker.include(subscriber::<_, E, _, _, _, _, _>(source, handler).build());
        },
    );
    let running = app.start().await?;
    hearing.ready();
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
    sending::send::<E, _, _>(work, publisher, window).await
}

impl<E: Sample> SendOne<E> for RedisPubSubPublisher {
    async fn send(&self, name: &'static str, event: E) -> anyhow::Result<()> {
        let payload = serde_json::to_vec(&event)?;
        let outgoing = OutgoingMessage::new(name, &payload);
        Ok(self.publish(outgoing, None).await?)
    }
}
