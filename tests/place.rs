//! The connection of the nodes of a test: memory, a Redis of its own, or servers that tests share.

use std::pin::Pin;

use tidings::{Bus, BusBuilder, Format};
use tidings_testkit::{Node, Redis, memory_url};
use tokio::runtime;

/// A promise, as a function of one type: an async test of each would take the compiler longer.
pub(crate) type Promise = fn(Place) -> Pin<Box<dyn Future<Output = ()>>>;

/// Makes functions of type [`Promise`], and `all` with their names.
macro_rules! boxed {
    ($($module:ident: $($promise:ident)*;)*) => {
        mod boxed {
            $($(
                pub(super) fn $promise(
                    place: crate::place::Place,
                ) -> std::pin::Pin<Box<dyn Future<Output = ()>>> {
                    Box::pin(super::$module::$promise(place))
                }
            )*)*
        }

        /// All promises, for servers that they share.
        pub(crate) fn all() -> Vec<(&'static str, crate::place::Promise)> {
            vec![$($((
                concat!(stringify!($module), "::", stringify!($promise)),
                boxed::$promise,
            )),*),*]
        }
    };
}
pub(crate) use boxed;

/// Checks a promise on a runtime of its own.
pub(crate) fn check(place: impl Future<Output = Place>, promise: Promise) {
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime
        .unwrap()
        .block_on(async { promise(place.await).await });
}

pub(crate) struct Place {
    pub(crate) format: Format,
    pub(crate) namespace: String,
    url: String,
    /// The program that publishes as a foreign one does; none in memory.
    foreign: Option<Foreign>,
    /// Ends with the test.
    _redis: Option<Redis>,
}

/// The server and the command of a foreign program.
#[derive(Clone)]
pub(crate) struct Foreign {
    url: String,
    publish: &'static str,
    counts_receivers: bool,
}

impl Foreign {
    /// On a server that all subscribers are connected to.
    pub(crate) fn on(redis: &Redis) -> Self {
        Self {
            url: redis.url(),
            publish: "PUBLISH",
            counts_receivers: true,
        }
    }

    /// On one node of a cluster, which counts its own subscribers only.
    pub(crate) fn in_cluster(node: &Redis, publish: &'static str) -> Self {
        Self {
            publish,
            counts_receivers: false,
            ..Self::on(node)
        }
    }
}

#[expect(clippy::unused_async, reason = "as the other place")]
pub(crate) async fn memory(format: Format) -> Place {
    Place {
        format,
        namespace: "default".to_owned(),
        url: memory_url(),
        foreign: None,
        _redis: None,
    }
}

pub(crate) async fn redis(format: Format) -> Place {
    let redis = Redis::start().await;
    Place {
        format,
        namespace: "default".to_owned(),
        url: redis.url(),
        foreign: Some(Foreign::on(&redis)),
        _redis: Some(redis),
    }
}

/// A namespace of its own on servers that other tests use too.
pub(crate) fn shared(url: &str, namespace: String, foreign: Foreign) -> Place {
    Place {
        format: Format::Json,
        namespace,
        url: url.to_owned(),
        foreign: Some(foreign),
        _redis: None,
    }
}

impl Place {
    pub(crate) fn builder(&self) -> BusBuilder {
        Bus::builder(&self.url)
            .namespace(&self.namespace)
            .format(self.format)
            .auto_register(false)
    }

    pub(crate) async fn node(&self) -> Node {
        Node::start(self.builder()).await
    }

    pub(crate) async fn two_nodes(&self) -> (Node, Node) {
        (self.node().await, self.node().await)
    }

    /// The receivers that a receipt names.
    pub(crate) fn receivers(&self, count: u64) -> Option<u64> {
        let counts = self.foreign.as_ref().is_none_or(|one| one.counts_receivers);
        counts.then_some(count)
    }

    /// Publishes a frame as a foreign program does.
    pub(crate) async fn publish(&self, frame: impl Into<Vec<u8>>) {
        self.publish_all([frame.into()]).await;
    }

    /// Publishes many frames, in order.
    pub(crate) async fn publish_all(&self, frames: impl IntoIterator<Item = Vec<u8>>) {
        match (&self.foreign, self.url.strip_prefix("memory:")) {
            (Some(foreign), _) => {
                let channel = format!("tidings:{{{}}}", self.namespace);
                publish(foreign, &channel, frames).await;
            }
            (None, Some(name)) => {
                for frame in frames {
                    tidings::memory::publish(name, &self.namespace, frame).await;
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

async fn publish(foreign: &Foreign, channel: &str, frames: impl IntoIterator<Item = Vec<u8>>) {
    // A busy machine takes longer for many frames than an answer may by default.
    let config = redis::AsyncConnectionConfig::new().set_response_timeout(None);
    let mut connection = redis::Client::open(foreign.url.as_str())
        .expect("the test kit makes addresses")
        .get_multiplexed_async_connection_with_config(&config)
        .await
        .expect("the server is up");
    let frames: Vec<_> = frames.into_iter().collect();
    for some in frames.chunks(500) {
        let mut publish = redis::pipe();
        for frame in some {
            publish
                .cmd(foreign.publish)
                .arg(channel)
                .arg(frame)
                .ignore();
        }
        publish
            .exec_async(&mut connection)
            .await
            .expect("it is allowed");
    }
}
