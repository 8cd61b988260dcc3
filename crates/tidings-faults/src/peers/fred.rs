//! fred's `SubscriberClient`, as its documentation shows it for pub/sub.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use fred::prelude::{
    Builder, ClientLike, Config, EventInterface, PubsubInterface, ReconnectPolicy, Server,
    ServerConfig,
};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::{Hearing, Notes, Place};
use crate::traffic::CHANNEL;

pub(super) const SETTINGS: &str = "`manage_subscriptions`, exponential reconnects without end, \
                                   unresponsive after 10 s, else defaults; told: an error, a \
                                   reconnect, an unresponsive server, or a lagging receiver";

pub(super) async fn hear(place: &Place, notes: &Notes) -> Result<Hearing> {
    let server = match place {
        Place::Server(address) => ServerConfig::Centralized {
            server: server(address),
        },
        Place::Sentinels { addresses, .. } => ServerConfig::Sentinel {
            hosts: addresses.iter().map(server).collect(),
            service_name: "mymaster".to_owned(),
        },
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

    let (ticks, mut messages) = (notes.clone(), client.message_rx());
    let heard = tokio::spawn(async move {
        loop {
            match messages.recv().await {
                Ok(message) => ticks.heard(message.value.as_u64().unwrap_or(u64::MAX)),
                Err(RecvError::Lagged(_)) => ticks.told(),
                Err(RecvError::Closed) => return,
            }
        }
    });
    let connection = client.init().await?;
    let subscriptions = client.manage_subscriptions();
    client.subscribe(CHANNEL).await?;
    let tasks = vec![
        heard.abort_handle(),
        connection.abort_handle(),
        subscriptions.abort_handle(),
        tell(notes, client.error_rx()),
        tell(notes, client.reconnect_rx()),
        tell(notes, client.unresponsive_rx()),
    ];
    Ok(Hearing {
        _kept: Box::new(client),
        tasks,
    })
}

fn server(address: &SocketAddr) -> Server {
    Server::new(address.ip().to_string(), address.port())
}

/// Notes whatever comes.
fn tell<T: Clone + Send + 'static>(
    notes: &Notes,
    mut events: Receiver<T>,
) -> tokio::task::AbortHandle {
    let notes = notes.clone();
    let telling = tokio::spawn(async move {
        while !matches!(events.recv().await, Err(RecvError::Closed)) {
            notes.told();
        }
    });
    telling.abort_handle()
}
