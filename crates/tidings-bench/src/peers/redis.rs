//! The redis crate: 256 sends in flight, or pipelines of 128.

use std::sync::Arc;

use futures_util::StreamExt;
use redis::aio::MultiplexedConnection;
use redis::{Client, Pipeline, cmd, pipe};

use crate::envelope::{CHANNEL, seal};
use crate::event::Sample;
use crate::sender::{self, Feed, SendOne, Sent, Window};
use crate::subscriber::{Handlers, Subscriber};
use crate::work::Work;

const PIPELINE: usize = 128;

pub(crate) async fn receive<E: Sample>(
    url: &str,
    subscriber: Arc<Subscriber>,
) -> anyhow::Result<()> {
    let handlers = Handlers::<E>::new(&subscriber);
    let mut receives = Client::open(url)?.get_async_pubsub().await?;
    receives.subscribe(CHANNEL).await?;
    subscriber.ready();
    let mut stream = receives.on_message();
    while let Some(received) = stream.next().await {
        handlers.call(received.get_payload_bytes()).await?;
    }
    Ok(())
}

pub(crate) async fn send<E: Sample>(url: &str, work: Work) -> anyhow::Result<Sent> {
    let connection = connect(url).await?;
    let one = connection.clone();
    let window = Window::new(move |name, event: E| {
        let one = one.clone();
        async move { one.send(name, event).await }
    });
    sender::send::<E, _, _>(work, connection, window).await
}

pub(crate) async fn send_pipelines<E: Sample>(url: &str, work: Work) -> anyhow::Result<Sent> {
    let connection = connect(url).await?;
    let pipelines = Pipelines {
        connection: connection.clone(),
        next: pipe(),
    };
    sender::send::<E, _, _>(work, connection, pipelines).await
}

async fn connect(url: &str) -> anyhow::Result<MultiplexedConnection> {
    Ok(Client::open(url)?
        .get_multiplexed_async_connection()
        .await?)
}

impl<E: Sample> SendOne<E> for MultiplexedConnection {
    async fn send(&self, name: &'static str, event: E) -> anyhow::Result<()> {
        let mut publish = cmd("PUBLISH");
        publish.arg(CHANNEL).arg(seal(name, &event)?);
        Ok(publish.exec_async(&mut self.clone()).await?)
    }
}

/// Collects 128 publishes and sends them at once.
struct Pipelines {
    connection: MultiplexedConnection,
    next: Pipeline,
}

impl Pipelines {
    async fn send(&mut self) -> anyhow::Result<()> {
        let full = std::mem::replace(&mut self.next, pipe());
        Ok(full.exec_async(&mut self.connection).await?)
    }
}

impl<E: Sample> Feed<E> for Pipelines {
    async fn feed(&mut self, name: &'static str, event: E) -> anyhow::Result<()> {
        let publish = self.next.cmd("PUBLISH");
        publish.arg(CHANNEL).arg(seal(name, &event)?).ignore();
        if self.next.len() == PIPELINE {
            self.send().await?;
        }
        Ok(())
    }

    async fn finish(&mut self) -> anyhow::Result<()> {
        if self.next.is_empty() {
            return Ok(());
        }
        self.send().await
    }
}
