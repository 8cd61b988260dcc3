//! Where the nodes of a test meet.

use tidings::{Builder, Bus, Format};
use tidings_testkit::{Node, Redis, memory_url};

pub(crate) struct Place {
    pub(crate) format: Format,
    url: String,
    /// Ends with the test.
    _redis: Option<Redis>,
}

#[expect(clippy::unused_async, reason = "as the other place")]
pub(crate) async fn memory(format: Format) -> Place {
    Place {
        format,
        url: memory_url(),
        _redis: None,
    }
}

pub(crate) async fn redis(format: Format) -> Place {
    let redis = Redis::start().await;
    Place {
        format,
        url: redis.url(),
        _redis: Some(redis),
    }
}

impl Place {
    pub(crate) fn builder(&self) -> Builder {
        Bus::builder(&self.url)
            .format(self.format)
            .without_collected()
    }

    pub(crate) async fn node(&self) -> Node {
        Node::start(self.builder()).await
    }

    pub(crate) async fn two_nodes(&self) -> (Node, Node) {
        (self.node().await, self.node().await)
    }

    pub(crate) fn other_format(&self) -> Format {
        match self.format {
            Format::Json => Format::MessagePack,
            Format::MessagePack => Format::Json,
        }
    }
}
