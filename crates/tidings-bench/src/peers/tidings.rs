//! tidings itself: events with handlers, and `feed`.

use std::future::{pending, ready};
use std::sync::Arc;

use tidings::prelude::*;

use crate::event::{NAME, Sample};
use crate::hearing::Hearing;
use crate::sending::{self, Feed, SendOne, Sent};
use crate::work::{self, Work};

pub(crate) async fn hear<E: Sample>(url: &str, hearing: Arc<Hearing>) -> anyhow::Result<()> {
    let gaps = Arc::clone(&hearing);
    let on_gap = move |_: Gap| {
        gaps.gap();
        ready(())
    };
    let bus = Bus::builder(url).on_gap(on_gap).start().await?;
    if hearing.handlers() == 1 {
        let hearing = Arc::clone(&hearing);
        bus.on(E::EVENT, move |event: E| {
            hearing.handle(0, &event);
            ready(())
        })?;
    } else {
        for handler in 0..hearing.handlers() {
            let hearing = Arc::clone(&hearing);
            bus.on(E::EVENT, move |event: Arc<E>| {
                hearing.handle(handler, &*event);
                ready(())
            })?;
        }
    }
    hearing.ready();
    pending::<()>().await;
    drop(bus);
    Ok(())
}

pub(crate) async fn send<E: Sample>(url: &str, work: Work) -> anyhow::Result<Sent> {
    let format = match work.format {
        work::Format::Json => Format::Json,
        work::Format::Msgpack => Format::MessagePack,
    };
    let bus = Bus::builder(url).format(format).start().await?;
    sending::send::<E, _, _>(work, bus.clone(), bus).await
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
