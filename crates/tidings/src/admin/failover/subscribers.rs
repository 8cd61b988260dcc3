//! The subscribers of a channel, and what still waits for them.

use redis::FromRedisValue;
use redis::Value;

use crate::admin::failover::line::Line;
use crate::error::connect::ConnectError;
use crate::namespace::channel::{Channel, PubSub};
use crate::transport::server::backlogs;

/// Counts the subscribers on one server.
pub(super) async fn count(line: &Line, channel: &Channel) -> Result<u64, ConnectError> {
    let mut numsub = redis::cmd("PUBSUB");
    numsub.arg(match channel.kind {
        PubSub::Classic => "NUMSUB",
        PubSub::Sharded => "SHARDNUMSUB",
    });
    let answer: Vec<Value> = line.ask(numsub.arg(&channel.name)).await?;
    let number = answer
        .get(1)
        .and_then(|it| u64::from_redis_value_ref(it).ok());
    Ok(number.unwrap_or(0))
}

/// Returns true if no event waits in the server for a subscriber, or if the user may not ask.
pub(super) async fn have_all(line: &Line) -> bool {
    let list = line.words::<String>("CLIENT LIST TYPE pubsub").await;
    let Ok(list) = list else {
        return true;
    };
    backlogs(0, &list).all(|backlog| backlog.bytes == 0)
}
