//! tidings: events with handlers, and `feed`.

use std::future::{pending, ready};
use std::sync::Arc;

use tidings::prelude::*;
use tidings::{BusBuilder, Journal, Since};

use crate::event::{NAME, Sample};
use crate::peers::Peer;
use crate::peers::address::ClusterUrl;
use crate::sender::{self, Feed, SendOne, Sent};
use crate::subscriber::Subscriber;
use crate::work::{self, Load, Work};

/// The namespace with a journal of [`LARGE`] bytes.
pub(crate) const LARGE_JOURNAL: &str = "large-journal";

/// The bytes of a journal that holds several runs.
const LARGE: u64 = 1 << 30;

pub(crate) async fn receive<E: Sample>(
    peer: Peer,
    url: &str,
    subscriber: Arc<Subscriber>,
) -> anyhow::Result<()> {
    let gaps = Arc::clone(&subscriber);
    let on_gap = move |_: Gap| {
        gaps.gap();
        ready(())
    };
    let mut builder = builder(peer, url, subscriber.work()).on_gap(on_gap);
    if subscriber.handlers() == 1 {
        let subscriber = Arc::clone(&subscriber);
        builder = builder.on(E::EVENT, move |event: E| {
            subscriber.handle(0, &event);
            ready(())
        });
    } else {
        for handler in 0..subscriber.handlers() {
            let subscriber = Arc::clone(&subscriber);
            builder = builder.on(E::EVENT, move |event: Arc<E>| {
                subscriber.handle(handler, &*event);
                ready(())
            });
        }
    }
    if subscriber.work().is_catching_up {
        // What is measured begins with the start of the bus.
        subscriber.ready();
    }
    let bus = builder.start().await?;
    if !subscriber.work().is_catching_up {
        subscriber.ready();
    }
    pending::<()>().await;
    drop(bus);
    Ok(())
}

pub(crate) async fn send<E: Sample>(peer: Peer, url: &str, work: Work) -> anyhow::Result<Sent> {
    let format = match work.format {
        work::Format::Json => Format::Json,
        work::Format::Msgpack => Format::MessagePack,
    };
    let bus = builder(peer, url, &work).format(format).start().await?;
    sender::send::<E, _, _>(work, bus.clone(), bus).await
}

/// The rows with classic pub/sub, with sharded pub/sub and with a journal share servers, and a namespace
/// uses only one of them.
fn builder(peer: Peer, url: &str, work: &Work) -> BusBuilder {
    let builder = Bus::builder(url);
    if peer.is_journaled() {
        let journal = Journal::default();
        return if work.is_catching_up {
            let journal = journal.since(Since::Start).max_bytes(LARGE);
            builder.namespace(LARGE_JOURNAL).journal(journal)
        } else if work.load == Load::Feed {
            // A sender at full speed trims 64 MiB within the time that a busy machine stalls a
            // subscriber.
            let journal = journal.max_bytes(LARGE);
            builder.namespace(LARGE_JOURNAL).journal(journal)
        } else {
            builder.namespace("journaled").journal(journal)
        };
    }
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
