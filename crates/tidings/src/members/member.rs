//! `Member`: the description of a bus in its namespace.

use std::time::{Duration, SystemTime};

use serde::Serialize;
use tidings_codec::NodeId;

use crate::observe::serialize;

/// A bus that is a member of its namespace, as it describes itself, from
/// [`Bus::members`](crate::Bus::members) and [`Bus::watch_members`](crate::Bus::watch_members).
///
/// It serializes under the names of its fields: `started` in milliseconds since the Unix epoch,
/// `lease` in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Member {
    /// The [id](crate::Bus::id) of the bus, for [`send_to`](crate::Bus::send_to).
    pub id: NodeId,
    /// The name, from [`BusBuilder::name`](crate::BusBuilder::name).
    pub name: String,
    /// The role, from [`BusBuilder::role`](crate::BusBuilder::role).
    pub role: Option<String>,
    /// The version of the program, from [`BusBuilder::version`](crate::BusBuilder::version).
    pub version: Option<String>,
    /// The name of the host; empty if the system has none.
    pub host: String,
    /// The process id.
    pub pid: u32,
    /// The time at which it joined first, by Redis's clock.
    #[serde(serialize_with = "serialize::clock")]
    pub started: SystemTime,
    /// The time without a renewal after which it counts as vanished, from
    /// [`BusBuilder::lease`](crate::BusBuilder::lease).
    #[serde(serialize_with = "serialize::duration")]
    pub lease: Duration,
    /// Whether it sends to the [journal](crate::Journal) of the namespace.
    pub has_journal: bool,
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use serde_json::{json, to_value};

    use super::*;

    #[test]
    fn a_member_serializes_under_the_names_of_its_fields() {
        let member = Member {
            id: NodeId::new(7),
            name: "api".to_owned(),
            role: Some("api".to_owned()),
            version: None,
            host: "web-1".to_owned(),
            pid: 42,
            started: UNIX_EPOCH + Duration::from_millis(1_700_000_000_123),
            lease: Duration::from_secs(15),
            has_journal: true,
        };
        let expected = json!({
            "id": "00000000000000000000000000000007",
            "name": "api",
            "role": "api",
            "version": null,
            "host": "web-1",
            "pid": 42,
            "started": 1_700_000_000_123_u64,
            "lease": 15_000,
            "has_journal": true,
        });
        assert_eq!(to_value(member).unwrap(), expected);
    }
}
