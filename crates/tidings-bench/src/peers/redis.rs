//! The redis crate: 256 sends in flight, or pipelines of 128, through one server or a cluster.

use std::sync::Arc;

use futures_util::StreamExt;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::cluster_async::ClusterConnection;
use redis::{Client, Pipeline, ProtocolVersion, PushKind, Value, cmd, pipe};
use tokio::sync::mpsc::unbounded_channel;

use crate::envelope::{CHANNEL, seal};
use crate::event::Sample;
use crate::peers::address::ClusterUrl;
use crate::sender::{self, Feed, SendOne, Sent, Window};
use crate::subscriber::{Handlers, Subscriber};
use crate::work::Work;

const PIPELINE: usize = 128;

pub(crate) async fn receive<E: Sample>(
    url: &str,
    subscriber: Arc<Subscriber>,
) -> anyhow::Result<()> {
    if let Some(cluster) = ClusterUrl::parse(url) {
        return receive_from_cluster::<E>(cluster, subscriber).await;
    }
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

/// A connection to a cluster has no stream of events: they are pushes of RESP3.
async fn receive_from_cluster<E: Sample>(
    cluster: ClusterUrl<'_>,
    subscriber: Arc<Subscriber>,
) -> anyhow::Result<()> {
    let handlers = Handlers::<E>::new(&subscriber);
    let (sender, mut pushes) = unbounded_channel();
    let client = ClusterClientBuilder::new(urls(cluster))
        .use_protocol(ProtocolVersion::RESP3)
        .push_sender(sender)
        .build()?;
    let mut connection = client.get_async_connection().await?;
    if cluster.is_sharded {
        connection.ssubscribe(CHANNEL).await?;
    } else {
        connection.subscribe(CHANNEL).await?;
    }
    subscriber.ready();
    while let Some(push) = pushes.recv().await {
        if let (PushKind::Message | PushKind::SMessage, [_, Value::BulkString(payload)]) =
            (push.kind, &*push.data)
        {
            handlers.call(payload).await?;
        }
    }
    Ok(())
}

pub(crate) async fn send<E: Sample>(url: &str, work: Work) -> anyhow::Result<Sent> {
    match ClusterUrl::parse(url) {
        Some(cluster) => send_one_by_one::<E, _>(to_cluster(cluster).await?, work).await,
        None => send_one_by_one::<E, _>(to_server(url).await?, work).await,
    }
}

async fn send_one_by_one<E: Sample, C: Connection>(
    publisher: Publisher<C>,
    work: Work,
) -> anyhow::Result<Sent> {
    let one = publisher.clone();
    let window = Window::new(move |name, event: E| {
        let one = one.clone();
        async move { one.send(name, event).await }
    });
    sender::send::<E, _, _>(work, publisher, window).await
}

pub(crate) async fn send_pipelines<E: Sample>(url: &str, work: Work) -> anyhow::Result<Sent> {
    match ClusterUrl::parse(url) {
        Some(cluster) => send_in_pipelines::<E, _>(to_cluster(cluster).await?, work).await,
        None => send_in_pipelines::<E, _>(to_server(url).await?, work).await,
    }
}

async fn send_in_pipelines<E: Sample, C: Connection>(
    publisher: Publisher<C>,
    work: Work,
) -> anyhow::Result<Sent> {
    let pipelines = Pipelines {
        publisher: publisher.clone(),
        next: pipe(),
    };
    sender::send::<E, _, _>(work, publisher, pipelines).await
}

async fn to_server(url: &str) -> anyhow::Result<Publisher<MultiplexedConnection>> {
    let connection = Client::open(url)?
        .get_multiplexed_async_connection()
        .await?;
    Ok(Publisher {
        connection,
        publish: "PUBLISH",
    })
}

async fn to_cluster(cluster: ClusterUrl<'_>) -> anyhow::Result<Publisher<ClusterConnection>> {
    let connection = ClusterClient::new(urls(cluster))?
        .get_async_connection()
        .await?;
    Ok(Publisher {
        connection,
        publish: if cluster.is_sharded {
            "SPUBLISH"
        } else {
            "PUBLISH"
        },
    })
}

fn urls(cluster: ClusterUrl<'_>) -> impl Iterator<Item = String> {
    cluster.nodes().map(|node| format!("redis://{node}"))
}

/// A connection to a server or to a cluster.
trait Connection: ConnectionLike + Clone + Send + Sync + 'static {}

impl<C: ConnectionLike + Clone + Send + Sync + 'static> Connection for C {}

/// A connection, and the command that publishes.
#[derive(Clone)]
struct Publisher<C> {
    connection: C,
    publish: &'static str,
}

impl<E: Sample, C: Connection> SendOne<E> for Publisher<C> {
    async fn send(&self, name: &'static str, event: E) -> anyhow::Result<()> {
        let mut publish = cmd(self.publish);
        publish.arg(CHANNEL).arg(seal(name, &event)?);
        Ok(publish.exec_async(&mut self.connection.clone()).await?)
    }
}

/// Collects 128 publishes and sends them at once.
struct Pipelines<C> {
    publisher: Publisher<C>,
    next: Pipeline,
}

impl<C: Connection> Pipelines<C> {
    async fn send(&mut self) -> anyhow::Result<()> {
        let full = std::mem::replace(&mut self.next, pipe());
        Ok(full.exec_async(&mut self.publisher.connection).await?)
    }
}

impl<E: Sample, C: Connection> Feed<E> for Pipelines<C> {
    async fn feed(&mut self, name: &'static str, event: E) -> anyhow::Result<()> {
        let publish = self.next.cmd(self.publisher.publish);
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
