//! fred's `SubscriberClient`, as its documentation shows it for pub/sub.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use fred::prelude::{
    Builder, ClientLike, Config, EventInterface, PubsubInterface, ReconnectPolicy, Server,
    ServerConfig,
};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::{Address, Log, Subscription};
use crate::traffic::CHANNEL;

pub(super) const SETTINGS: &str = "`manage_subscriptions`, exponential reconnects without end, \
                                   unresponsive after 10 s, else defaults; notified: an error, a \
                                   reconnect, an unresponsive server, or a lagging receiver";

pub(super) async fn subscribe(address: &Address, log: &Log) -> Result<Subscription> {
    let server = match address {
        Address::Server(address) => ServerConfig::Centralized {
            server: server(address),
        },
        Address::Sentinels(url) => sentinels(url).context("a URL of sentinels")?,
    };
    let config = Config {
        server,
        ..Config::default()
    };
    let client = Builder::from_config(config)
        .with_connection_config(|connection| {
            connection.unresponsive.max_timeout = Some(Duration::from_secs(10));
        })
        .set_policy(ReconnectPolicy::new_exponential(0, 100, 5_000, 2))
        .build_subscriber_client()?;

    let (ticks, mut messages) = (log.clone(), client.message_rx());
    let received = tokio::spawn(async move {
        loop {
            match messages.recv().await {
                Ok(message) => ticks.received(message.value.as_u64().unwrap_or(u64::MAX)),
                Err(RecvError::Lagged(_)) => ticks.notified(),
                Err(RecvError::Closed) => return,
            }
        }
    });
    let connection = client.init().await?;
    let subscriptions = client.manage_subscriptions();
    client.subscribe(CHANNEL).await?;
    let tasks = vec![
        received.abort_handle(),
        connection.abort_handle(),
        subscriptions.abort_handle(),
        tell(log, client.error_rx()),
        tell(log, client.reconnect_rx()),
        tell(log, client.unresponsive_rx()),
    ];
    Ok(Subscription {
        _kept: Box::new(client),
        tasks,
    })
}

fn server(address: &SocketAddr) -> Server {
    Server::new(address.ip().to_string(), address.port())
}

/// Parses `redis+sentinel://host:port,host:port/name`.
fn sentinels(url: &str) -> Option<ServerConfig> {
    let (hosts, name) = url.strip_prefix("redis+sentinel://")?.split_once('/')?;
    let hosts = hosts.split(',').map(|host| host.parse().ok());
    let hosts: Option<Vec<SocketAddr>> = hosts.collect();
    Some(ServerConfig::Sentinel {
        hosts: hosts?.iter().map(server).collect(),
        service_name: name.to_owned(),
    })
}

/// Records each event as a report.
fn tell<T: Clone + Send + 'static>(log: &Log, mut events: Receiver<T>) -> tokio::task::AbortHandle {
    let log = log.clone();
    let telling = tokio::spawn(async move {
        while !matches!(events.recv().await, Err(RecvError::Closed)) {
            log.notified();
        }
    });
    telling.abort_handle()
}
