//! The peers: their names, settings and processes.

mod address;
#[cfg(feature = "peers")]
mod fred;
#[cfg(feature = "peers")]
mod nats;
mod raw;
mod redis;
#[cfg(feature = "peers")]
mod ruststream;
mod tidings;

use std::sync::Arc;

use clap::ValueEnum;
use serde::Serialize;

use crate::event::{OrderPlaced, Sample, Small};
use crate::sender::Sent;
use crate::subscriber::Subscriber;
use crate::work::{Format, Work};

pub(crate) use self::tidings::LARGE_JOURNAL;

/// A library that sends and receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Peer {
    TidingsJson,
    TidingsMsgpack,
    JournalJson,
    JournalMsgpack,
    Redis,
    RedisPipelines,
    Fred,
    Ruststream,
    Nats,
    Ioredis,
    NodeRedis,
    RedisPy,
    Faststream,
    Raw,
}

impl Peer {
    /// The name in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::TidingsJson => "tidings, JSON",
            Self::TidingsMsgpack => "tidings, MessagePack",
            Self::JournalJson => "tidings, JSON, journal",
            Self::JournalMsgpack => "tidings, MessagePack, journal",
            Self::Redis => "redis crate, 256 in flight",
            Self::RedisPipelines => "redis crate, pipelines of 128",
            Self::Fred => "fred",
            Self::Ruststream => "ruststream-fred",
            Self::Nats => "NATS, async-nats",
            Self::Ioredis => "ioredis",
            Self::NodeRedis => "node-redis",
            Self::RedisPy => "redis-py",
            Self::Faststream => "FastStream",
            Self::Raw => "raw sockets",
        }
    }

    /// The name in arguments.
    pub(crate) fn slug(self) -> &'static str {
        match self {
            Self::TidingsJson => "tidings-json",
            Self::TidingsMsgpack => "tidings-msgpack",
            Self::JournalJson => "journal-json",
            Self::JournalMsgpack => "journal-msgpack",
            Self::Redis => "redis",
            Self::RedisPipelines => "redis-pipelines",
            Self::Fred => "fred",
            Self::Ruststream => "ruststream",
            Self::Nats => "nats",
            Self::Ioredis => "ioredis",
            Self::NodeRedis => "node-redis",
            Self::RedisPy => "redis-py",
            Self::Faststream => "faststream",
            Self::Raw => "raw",
        }
    }

    /// The settings: those that the library's documentation recommends for throughput.
    pub(crate) fn settings(self) -> &'static str {
        match self {
            Self::TidingsJson | Self::TidingsMsgpack => "all defaults",
            Self::JournalJson | Self::JournalMsgpack => {
                "Journal::default(), feed with max_bytes of 1 GiB; all runs write to one journal, which \
                 becomes full and is trimmed"
            }
            Self::Redis => {
                "one MultiplexedConnection, 256 PUBLISH in flight (await: one); receives on its PubSub \
                 stream; for a cluster one ClusterConnection, which receives with RESP3 and push_sender"
            }
            Self::RedisPipelines => {
                "one MultiplexedConnection, redis::pipe() of 128 PUBLISH, awaited"
            }
            Self::Fred => {
                "one Client, 256 publishes in flight; a SubscriberClient whose broadcast channel \
                 holds 524,288: with the default of 32 it loses events silently"
            }
            Self::Ruststream => {
                "a RedisPubSub subscription with a buffer of 524,288 (by default 32, and loses events), JSON \
                 codec, one worker; a channel for the event, no envelope; 256 publishes in flight"
            }
            Self::Nats => {
                "nats-server without JetStream; publish() and one flush() at the end (await: publish \
                 and flush each); the subscriber's subscription holds 1,048,576"
            }
            Self::Ioredis => {
                "enableAutoPipelining (await: without), 256 publishes in flight; for a cluster its Cluster, \
                 with shardedSubscribers for sharded pub/sub"
            }
            Self::NodeRedis => "its own pipelining of one turn, 256 publishes in flight",
            Self::RedisPy => {
                "redis[hiredis], synchronous, pipelines of 128 without MULTI; receives with \
                 pubsub().listen()"
            }
            Self::Faststream => {
                "redis[hiredis], pydantic model, feed: its pipelines of 128, rate: tasks over 256 \
                 connections; logger off, one worker"
            }
            Self::Raw => {
                "RESP by hand over a tokio socket, 128 PUBLISH a write: the lower bound of the cost of \
                 one event a PUBLISH"
            }
        }
    }

    pub(crate) fn format(self) -> Format {
        match self {
            Self::TidingsMsgpack | Self::JournalMsgpack => Format::Msgpack,
            _ => Format::Json,
        }
    }

    pub(crate) fn is_tidings(self) -> bool {
        matches!(self, Self::TidingsJson | Self::TidingsMsgpack) || self.is_journaled()
    }

    pub(crate) fn is_journaled(self) -> bool {
        matches!(self, Self::JournalJson | Self::JournalMsgpack)
    }
}

/// Receives in this process, until the caller drops the future.
pub(crate) async fn receive(
    peer: Peer,
    url: &str,
    work: &Work,
    subscriber: Arc<Subscriber>,
) -> anyhow::Result<()> {
    if work.size <= 32 {
        receive_events::<Small>(peer, url, subscriber).await
    } else {
        receive_events::<OrderPlaced>(peer, url, subscriber).await
    }
}

/// Sends from this process.
pub(crate) async fn send(peer: Peer, url: &str, work: Work) -> anyhow::Result<Sent> {
    if work.size <= 32 {
        send_events::<Small>(peer, url, work).await
    } else {
        send_events::<OrderPlaced>(peer, url, work).await
    }
}

async fn receive_events<E: Sample>(
    peer: Peer,
    url: &str,
    subscriber: Arc<Subscriber>,
) -> anyhow::Result<()> {
    match peer {
        ours if ours.is_tidings() => tidings::receive::<E>(ours, url, subscriber).await,
        Peer::Redis | Peer::RedisPipelines => redis::receive::<E>(url, subscriber).await,
        Peer::Raw => raw::receive::<E>(url, subscriber).await,
        #[cfg(feature = "peers")]
        Peer::Fred => fred::receive::<E>(url, subscriber).await,
        #[cfg(feature = "peers")]
        Peer::Ruststream => ruststream::receive::<E>(url, subscriber).await,
        #[cfg(feature = "peers")]
        Peer::Nats => nats::receive::<E>(url, subscriber).await,
        _ => anyhow::bail!("{} is not in this program", peer.name()),
    }
}

async fn send_events<E: Sample>(peer: Peer, url: &str, work: Work) -> anyhow::Result<Sent> {
    match peer {
        ours if ours.is_tidings() => tidings::send::<E>(ours, url, work).await,
        Peer::Redis => redis::send::<E>(url, work).await,
        Peer::RedisPipelines => redis::send_pipelines::<E>(url, work).await,
        Peer::Raw => raw::send::<E>(url, work).await,
        #[cfg(feature = "peers")]
        Peer::Fred => fred::send::<E>(url, work).await,
        #[cfg(feature = "peers")]
        Peer::Ruststream => ruststream::send::<E>(url, work).await,
        #[cfg(feature = "peers")]
        Peer::Nats => nats::send::<E>(url, work).await,
        _ => anyhow::bail!("{} is not in this program", peer.name()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_peer_is_parsed_from_its_slug() {
        for peer in Peer::value_variants() {
            assert_eq!(Peer::from_str(peer.slug(), false), Ok(*peer));
            assert!(!peer.settings().is_empty());
        }
    }
}
