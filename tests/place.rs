//! The connection of the nodes of a test: memory or Redis.

use tidings::{Bus, BusBuilder, Format};
use tidings_testkit::{Node, Redis, memory_url};

pub(crate) struct Place {
    pub(crate) format: Format,
    url: String,
    /// Ends with the test.
    redis: Option<Redis>,
}

#[expect(clippy::unused_async, reason = "as the other place")]
pub(crate) async fn memory(format: Format) -> Place {
    Place {
        format,
        url: memory_url(),
        redis: None,
    }
}

pub(crate) async fn redis(format: Format) -> Place {
    let redis = Redis::start().await;
    Place {
        format,
        url: redis.url(),
        redis: Some(redis),
    }
}

impl Place {
    pub(crate) fn builder(&self) -> BusBuilder {
        Bus::builder(&self.url)
            .format(self.format)
            .auto_register(false)
    }

    pub(crate) async fn node(&self) -> Node {
        Node::start(self.builder()).await
    }

    pub(crate) async fn two_nodes(&self) -> (Node, Node) {
        (self.node().await, self.node().await)
    }

    /// Publishes a frame as a foreign program does.
    pub(crate) async fn publish(&self, frame: impl Into<Vec<u8>>) {
        self.publish_all([frame.into()]).await;
    }

    /// Publishes many frames, in order.
    pub(crate) async fn publish_all(&self, frames: impl IntoIterator<Item = Vec<u8>>) {
        match (&self.redis, self.url.strip_prefix("memory:")) {
            (Some(redis), _) => publish(redis, frames).await,
            (None, Some(name)) => {
                for frame in frames {
                    tidings::memory::publish(name, "default", frame).await;
                }
            }
            (None, None) => unreachable!("a place is in memory or has a server"),
        }
    }

    pub(crate) fn other_format(&self) -> Format {
        match self.format {
            Format::Json => Format::MessagePack,
            Format::MessagePack => Format::Json,
        }
    }
}

async fn publish(redis: &Redis, frames: impl IntoIterator<Item = Vec<u8>>) {
    let mut connection = redis::Client::open(redis.url())
        .expect("the test kit makes addresses")
        .get_multiplexed_async_connection()
        .await
        .expect("the server is up");
    let frames: Vec<_> = frames.into_iter().collect();
    // An answer has a timeout.
    for some in frames.chunks(500) {
        let mut publish = redis::pipe();
        for frame in some {
            publish.publish("tidings:{default}", frame).ignore();
        }
        publish
            .exec_async(&mut connection)
            .await
            .expect("it is allowed");
    }
}
