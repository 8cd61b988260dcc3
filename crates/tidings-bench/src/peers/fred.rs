//! fred: 256 publishes under way, and a broadcast channel large enough to lose nothing.

use std::sync::Arc;

use anyhow::Context;
use fred::clients::Client;
use fred::prelude::{Builder, ClientLike, Config, EventInterface, PubsubInterface, Value};
use tokio::sync::broadcast::error::RecvError;

use crate::envelope::{CHANNEL, seal};
use crate::event::Sample;
use crate::hearing::{Handlers, Hearing};
use crate::sending::{self, SendOne, Sent, Window};
use crate::work::Work;

/// How many events wait for a hearer before the oldest are dropped: more than a run has. The default,
/// 32, loses most events of a fast sender, and says nothing.
const CAPACITY: usize = 1 << 19;

pub(crate) async fn hear<E: Sample>(url: &str, hearing: Arc<Hearing>) -> anyhow::Result<()> {
    let handlers = Handlers::<E>::new(&hearing);
    let client = Builder::from_config(Config::from_url(url)?)
        .with_performance_config(|config| config.broadcast_channel_capacity = CAPACITY)
        .build_subscriber_client()?;
    client.init().await?;
    let mut stream = client.message_rx();
    client.subscribe(CHANNEL).await?;
    hearing.ready();
    loop {
        match stream.recv().await {
            Ok(heard) => {
                let payload = heard.value.as_bytes().context("an event is bytes")?;
                handlers.call(payload).await?;
            }
            // The tally finds out what was lost.
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return Ok(()),
        }
    }
}

pub(crate) async fn send<E: Sample>(url: &str, work: Work) -> anyhow::Result<Sent> {
    let client = Builder::from_config(Config::from_url(url)?).build()?;
    client.init().await?;
    let one = client.clone();
    let window = Window::new(move |name, event: E| {
        let one = one.clone();
        async move { one.send(name, event).await }
    });
    sending::send::<E, _, _>(work, client, window).await
}

impl<E: Sample> SendOne<E> for Client {
    async fn send(&self, name: &'static str, event: E) -> anyhow::Result<()> {
        let payload = Value::Bytes(seal(name, &event)?.into());
        let _hearers: i64 = self.publish(CHANNEL, payload).await?;
        Ok(())
    }
}
