//! Reads the journal that is left in the end, as a foreign program would.

use std::collections::HashMap;

use anyhow::{Context as _, Result};
use redis::{AsyncConnectionConfig, FromRedisValue as _};
use serde::Deserialize;
use tidings::{JournalPosition, NodeId};
use tidings_testkit::Redis;

use super::log::{Deleted, Remaining, Remains};

/// The key of the stream in the default namespace, and that of its floor.
pub const STREAM: &str = "tidings:{default}:journal";
const FLOOR: &str = "tidings:{default}:journal:floor";

/// The name of the events of a round.
pub const EVENT: &str = "tick";

/// The field of a frame.
const FRAME: &str = "f";

/// Entries that are read at once.
const PAGE: &str = "2000";

/// A frame of events without options, as far as it matters here.
#[derive(Deserialize)]
struct Frame {
    from: NodeId,
    seq: u64,
    #[serde(default)]
    events: Vec<Event>,
}

#[derive(Deserialize)]
struct Event {
    event: String,
    #[serde(default)]
    data: serde_json::Value,
}

type Entries = Vec<(String, HashMap<String, String>)>;

impl Remains {
    /// Reads the whole journal of the default namespace.
    ///
    /// # Errors
    ///
    /// When Redis does not answer as expected.
    pub async fn read(redis: &Redis) -> Result<Self> {
        let mut events = Vec::new();
        let mut from = "-".to_owned();
        loop {
            let range = ["XRANGE", STREAM, &from, "+", "COUNT", PAGE];
            let page = Entries::from_redis_value(redis.try_command(&range).await?)?;
            let Some((last, _)) = page.last() else {
                break;
            };
            from = format!("({last}");
            events.extend(all_events_of(page)?);
        }
        let floor = redis.try_command(&["GET", FLOOR]).await?;
        Ok(Self {
            events,
            floor: floor_of(Option::<String>::from_redis_value(floor)?)?,
            deleted: Vec::new(),
        })
    }
}

impl Deleted {
    /// Reads the whole journal, and deletes all keys in the same moment.
    ///
    /// # Errors
    ///
    /// When Redis does not answer as expected.
    pub async fn flush(redis: &Redis) -> Result<Self> {
        // A long journal takes longer than the default time limit of the client.
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let client = redis::Client::open(redis.url())?;
        let connection = client.get_multiplexed_async_connection_with_config(&config);
        let mut connection = connection.await?;
        let mut transaction = redis::pipe();
        transaction
            .atomic()
            .cmd("XRANGE")
            .arg(STREAM)
            .arg("-")
            .arg("+");
        transaction.cmd("GET").arg(FLOOR);
        transaction.cmd("FLUSHALL").ignore().cmd("TIME");
        let (entries, floor, time) = transaction.query_async(&mut connection).await?;
        Self::new(entries, floor, time)
    }

    /// Reads the whole journal, and lets Redis evict all keys then.
    ///
    /// # Errors
    ///
    /// When Redis does not answer as expected.
    pub async fn evict(redis: &Redis) -> Result<Self> {
        let entries = redis.try_command(&["XRANGE", STREAM, "-", "+"]).await?;
        let floor = redis.try_command(&["GET", FLOOR]).await?;
        redis.evict_all().await;
        let time = redis.try_command(&["TIME"]).await?;
        Self::new(
            Entries::from_redis_value(entries)?,
            Option::from_redis_value(floor)?,
            <(u64, u64)>::from_redis_value(time)?,
        )
    }

    fn new(entries: Entries, floor: Option<String>, (seconds, micros): (u64, u64)) -> Result<Self> {
        Ok(Self {
            events: all_events_of(entries)?,
            floor: floor_of(floor)?,
            until: seconds * 1_000 + micros / 1_000,
        })
    }
}

fn all_events_of(entries: Entries) -> Result<Vec<Remaining>> {
    let mut events = Vec::new();
    for (id, fields) in entries {
        let frame = fields.get(FRAME).context("an entry has no frame")?;
        events.extend(events_of(id.parse()?, frame)?);
    }
    Ok(events)
}

fn events_of(position: JournalPosition, frame: &str) -> Result<Vec<Remaining>> {
    let frame: Frame = serde_json::from_str(frame).with_context(|| frame.to_owned())?;
    let mut events = Vec::new();
    for (number, event) in (frame.seq..).zip(frame.events) {
        if event.event == EVENT {
            let tick = event.data.get(0).and_then(serde_json::Value::as_u64);
            events.push(Remaining {
                position,
                sender: frame.from,
                number,
                tick: tick.context("an event has no tick")?,
            });
        }
    }
    Ok(events)
}

/// Parses `GENERATION:ID`.
fn floor_of(text: Option<String>) -> Result<JournalPosition> {
    let Some(text) = text else {
        return Ok(JournalPosition::START);
    };
    let id = text.rsplit(':').next().unwrap_or_default();
    id.parse().with_context(|| format!("the floor is {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_events_of_a_frame_are_numbered_from_its_sequence_number_on() {
        let frame = r#"{"v":1,"from":"0000000000000000000000000000002a","seq":7,"events":[
            {"event":"other"},{"event":"tick","data":[3,""]}]}"#;
        let from = "1-0".parse().unwrap();
        let events = events_of(
            from,
            &frame.replace(
                "0000000000000000000000000000002a",
                &NodeId::new(42).to_string(),
            ),
        )
        .unwrap();
        let expected = Remaining {
            position: from,
            sender: NodeId::new(42),
            number: 8,
            tick: 3,
        };
        assert_eq!(events, [expected]);
    }

    #[test]
    fn a_floor_is_a_generation_and_a_position() {
        let floor = |text: &str| floor_of(Some(text.to_owned()));
        assert_eq!(floor("f00d:12-3").unwrap(), "12-3".parse().unwrap());
        assert!(floor("f00d").is_err());
        assert_eq!(floor_of(None).unwrap(), JournalPosition::START);
    }
}
