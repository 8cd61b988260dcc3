//! fred: 256 publishes in flight, and a broadcast channel large enough to lose nothing, through one
//! server or a cluster.

use std::sync::Arc;

use anyhow::Context;
use fred::clients::Client;
use fred::prelude::{Builder, ClientLike, Config, EventInterface, PubsubInterface, Value};
use tokio::sync::broadcast::error::RecvError;

use crate::envelope::{CHANNEL, seal};
use crate::event::Sample;
use crate::peers::address::ClusterUrl;
use crate::sender::{self, SendOne, Sent, Window};
use crate::subscriber::{Handlers, Subscriber};
use crate::work::Work;

/// The events that wait for a subscriber before fred drops the oldest: more than a run has. The
/// default of 32 loses most events of a fast sender, silently.
const CAPACITY: usize = 1 << 19;

pub(crate) async fn receive<E: Sample>(
    url: &str,
    subscriber: Arc<Subscriber>,
) -> anyhow::Result<()> {
    let handlers = Handlers::<E>::new(&subscriber);
    let client = Builder::from_config(config(url)?)
        .with_performance_config(|config| config.broadcast_channel_capacity = CAPACITY)
        .build_subscriber_client()?;
    client.init().await?;
    let mut stream = client.message_rx();
    if is_sharded(url) {
        client.ssubscribe(CHANNEL).await?;
    } else {
        client.subscribe(CHANNEL).await?;
    }
    subscriber.ready();
    loop {
        match stream.recv().await {
            Ok(received) => {
                let payload = received.value.as_bytes().context("an event is bytes")?;
                handlers.call(payload).await?;
            }
            // The tally counts what was lost.
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return Ok(()),
        }
    }
}

pub(crate) async fn send<E: Sample>(url: &str, work: Work) -> anyhow::Result<Sent> {
    let client = Builder::from_config(config(url)?).build()?;
    client.init().await?;
    let publisher = Publisher {
        client,
        is_sharded: is_sharded(url),
    };
    let one = publisher.clone();
    let window = Window::new(move |name, event: E| {
        let one = one.clone();
        async move { one.send(name, event).await }
    });
    sender::send::<E, _, _>(work, publisher, window).await
}

/// fred finds the other nodes of a cluster through one.
fn config(url: &str) -> anyhow::Result<Config> {
    let node = ClusterUrl::parse(url).and_then(|cluster| cluster.nodes().next());
    Ok(match node {
        Some(node) => Config::from_url(&format!("redis-cluster://{node}"))?,
        None => Config::from_url(url)?,
    })
}

fn is_sharded(url: &str) -> bool {
    ClusterUrl::parse(url).is_some_and(|cluster| cluster.is_sharded)
}

#[derive(Clone)]
struct Publisher {
    client: Client,
    is_sharded: bool,
}

impl<E: Sample> SendOne<E> for Publisher {
    async fn send(&self, name: &'static str, event: E) -> anyhow::Result<()> {
        let payload = Value::Bytes(seal(name, &event)?.into());
        let _subscribers: i64 = if self.is_sharded {
            self.client.spublish(CHANNEL, payload).await?
        } else {
            self.client.publish(CHANNEL, payload).await?
        };
        Ok(())
    }
}
