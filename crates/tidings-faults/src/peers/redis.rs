//! The redis crate's `ConnectionManager`, as its documentation shows it for pub/sub.

use anyhow::{Result, bail};
use redis::aio::{ConnectionManager, ConnectionManagerConfig, SendError};
use redis::{Client, FromRedisValue as _, PushInfo, PushKind};

use super::{Address, Log, Subscription};
use crate::traffic::CHANNEL;

pub(super) const SETTINGS: &str = "RESP3, a push sender, automatic resubscription, else defaults; \
                                   notified: a push that says it is disconnected, or subscribed again";

pub(super) async fn subscribe(address: &Address, log: &Log) -> Result<Subscription> {
    let Address::Server(address) = address else {
        bail!("ConnectionManager connects to one server");
    };
    let pushed = log.clone();
    let settings = ConnectionManagerConfig::new()
        .set_automatic_resubscription()
        .set_push_sender(move |push: PushInfo| {
            receive_push(&pushed, push);
            Ok::<_, SendError>(())
        });
    let client = Client::open(format!("redis://{address}/?protocol=resp3"))?;
    let mut manager = ConnectionManager::new_with_config(client, settings).await?;
    manager.subscribe(CHANNEL).await?;
    Ok(Subscription {
        _kept: Box::new(manager),
        tasks: Vec::new(),
    })
}

fn receive_push(log: &Log, push: PushInfo) {
    match push.kind {
        PushKind::Message => {
            let payload = push.data.into_iter().nth(1);
            if let Some(tick) = payload.and_then(|tick| u64::from_redis_value(tick).ok()) {
                log.received(tick);
            }
        }
        PushKind::Disconnection | PushKind::Subscribe => log.notified(),
        _ => {}
    }
}
