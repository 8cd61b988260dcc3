//! NATS with async-nats: `publish` does not wait, `flush` does.

use std::sync::Arc;

use async_nats::{Client, ConnectOptions};
use futures_util::StreamExt;

use crate::envelope::{CHANNEL, seal};
use crate::event::Sample;
use crate::sender::{self, Feed, SendOne, Sent};
use crate::subscriber::{Handlers, Subscriber};
use crate::work::Work;

/// The events that wait for a subscriber before async-nats drops new ones.
const CAPACITY: usize = 1 << 20;

pub(crate) async fn receive<E: Sample>(
    url: &str,
    subscriber: Arc<Subscriber>,
) -> anyhow::Result<()> {
    let handlers = Handlers::<E>::new(&subscriber);
    let options = ConnectOptions::new().subscription_capacity(CAPACITY);
    let client = options.connect(url).await?;
    let mut stream = client.subscribe(CHANNEL).await?;
    client.flush().await?;
    // A flush ends when the subscription is written, not when the server has read it.
    let asks = client.new_inbox();
    let mut answer = client.subscribe(asks.clone()).await?;
    client.publish(asks, "".into()).await?;
    answer.next().await;
    subscriber.ready();
    while let Some(received) = stream.next().await {
        handlers.call(&received.payload).await?;
    }
    Ok(())
}

pub(crate) async fn send<E: Sample>(url: &str, work: Work) -> anyhow::Result<Sent> {
    let client = async_nats::connect(url).await?;
    sender::send::<E, _, _>(work, client.clone(), client).await
}

/// NATS acknowledges nothing: a send is done when it is written to the socket.
impl<E: Sample> SendOne<E> for Client {
    async fn send(&self, name: &'static str, event: E) -> anyhow::Result<()> {
        self.publish(CHANNEL, seal(name, &event)?.into()).await?;
        Ok(self.flush().await?)
    }
}

impl<E: Sample> Feed<E> for Client {
    async fn feed(&mut self, name: &'static str, event: E) -> anyhow::Result<()> {
        Ok(self.publish(CHANNEL, seal(name, &event)?.into()).await?)
    }

    async fn finish(&mut self) -> anyhow::Result<()> {
        Ok(self.flush().await?)
    }
}
