//! tidings: events with handlers, and `feed`.

use std::future::{pending, ready};
use std::sync::Arc;

use tidings::BusBuilder;
use tidings::prelude::*;

use crate::event::{NAME, Sample};
use crate::peers::address::ClusterUrl;
use crate::sender::{self, Feed, SendOne, Sent};
use crate::subscriber::Subscriber;
use crate::work::{self, Work};

pub(crate) async fn receive<E: Sample>(
    url: &str,
    subscriber: Arc<Subscriber>,
) -> anyhow::Result<()> {
    let gaps = Arc::clone(&subscriber);
    let on_gap = move |_: Gap| {
        gaps.gap();
        ready(())
    };
    let bus = builder(url).on_gap(on_gap).start().await?;
    if subscriber.handlers() == 1 {
        let subscriber = Arc::clone(&subscriber);
        bus.on(E::EVENT, move |event: E| {
            subscriber.handle(0, &event);
            ready(())
        })?;
    } else {
        for handler in 0..subscriber.handlers() {
            let subscriber = Arc::clone(&subscriber);
            bus.on(E::EVENT, move |event: Arc<E>| {
                subscriber.handle(handler, &*event);
                ready(())
            })?;
        }
    }
    subscriber.ready();
    pending::<()>().await;
    drop(bus);
    Ok(())
}

pub(crate) async fn send<E: Sample>(url: &str, work: Work) -> anyhow::Result<Sent> {
    let format = match work.format {
        work::Format::Json => Format::Json,
        work::Format::Msgpack => Format::MessagePack,
    };
    let bus = builder(url).format(format).start().await?;
    sender::send::<E, _, _>(work, bus.clone(), bus).await
}

/// The rows with classic and with sharded pub/sub share one cluster, and a namespace uses only one kind.
fn builder(url: &str) -> BusBuilder {
    let builder = Bus::builder(url);
    match ClusterUrl::parse(url) {
        Some(cluster) if cluster.is_sharded => builder.namespace("sharded"),
        _ => builder,
    }
}

impl<E: Sample> SendOne<E> for Bus {
    async fn send(&self, name: &'static str, event: E) -> anyhow::Result<()> {
        if name == NAME {
            self.send_to_all(E::EVENT, &event).await?;
        } else {
            self.send_to_all(name, &event).await?;
        }
        Ok(())
    }
}

impl<E: Sample> Feed<E> for Bus {
    async fn feed(&mut self, name: &'static str, event: E) -> anyhow::Result<()> {
        if name == NAME {
            Self::feed(self, E::EVENT, &event).await?;
        } else {
            Self::feed(self, name, &event).await?;
        }
        Ok(())
    }

    async fn finish(&mut self) -> anyhow::Result<()> {
        Ok(self.flush().await?)
    }
}
