//! NATS with async-nats: its `publish` does not wait, and `flush` does.

use std::sync::Arc;

use async_nats::{Client, ConnectOptions};
use futures_util::StreamExt;

use crate::envelope::{CHANNEL, seal};
use crate::event::Sample;
use crate::hearing::{Handlers, Hearing};
use crate::sending::{self, Feed, SendOne, Sent};
use crate::work::Work;

/// How many events wait for a hearer before async-nats drops what comes.
const CAPACITY: usize = 1 << 20;

pub(crate) async fn hear<E: Sample>(url: &str, hearing: Arc<Hearing>) -> anyhow::Result<()> {
    let handlers = Handlers::<E>::new(&hearing);
    let options = ConnectOptions::new().subscription_capacity(CAPACITY);
    let client = options.connect(url).await?;
    let mut stream = client.subscribe(CHANNEL).await?;
    client.flush().await?;
    // A flush ends when the subscription is written, not when the server has read it.
    let asks = client.new_inbox();
    let mut answer = client.subscribe(asks.clone()).await?;
    client.publish(asks, "".into()).await?;
    answer.next().await;
    hearing.ready();
    while let Some(heard) = stream.next().await {
        handlers.call(&heard.payload).await?;
    }
    Ok(())
}

pub(crate) async fn send<E: Sample>(url: &str, work: Work) -> anyhow::Result<Sent> {
    let client = async_nats::connect(url).await?;
    sending::send::<E, _, _>(work, client.clone(), client).await
}

/// NATS acknowledges nothing: a send is over when it is written to the socket.
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
