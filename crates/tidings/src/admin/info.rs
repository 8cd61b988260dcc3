//! Reads the fields of `INFO`.

use std::time::Duration;

use crate::admin::fields::Fields;
use crate::admin::server::{Replication, ServerRole};
use crate::transport::address::shown;

/// The role, if the fields have it.
pub(super) fn role(info: &Fields) -> Option<ServerRole> {
    if info.get("redis_mode") == Some("sentinel") {
        return Some(ServerRole::Sentinel);
    }
    match info.get("role")? {
        "master" => Some(ServerRole::Master),
        // The older word for a replica.
        "slave" => Some(ServerRole::Replica),
        _ => None,
    }
}

/// The bytes of the replication stream that the server has.
pub(super) fn offset(info: &Fields, role: ServerRole) -> Option<u64> {
    match role {
        ServerRole::Replica => info.number("slave_repl_offset"),
        _ => info.number("master_repl_offset"),
    }
}

/// The replication of a replica. Its lag needs the state of its master.
pub(super) fn replication(info: &Fields) -> Replication {
    let text = |name| info.get(name).unwrap_or_default();
    let port = info.number("master_port");
    let port = port.and_then(|port| port.try_into().ok()).unwrap_or(0);
    let is_copying = text("master_sync_in_progress") == "1";
    let silence = info.number("master_last_io_seconds_ago");
    Replication {
        master: shown(&(text("master_host").to_owned(), port)),
        is_connected: text("master_link_status") == "up" && !is_copying,
        lag_bytes: None,
        silence: silence.map(Duration::from_secs),
        priority: info.number("slave_priority"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_replication_of_a_replica_is_parsed() {
        let info = "role:slave\r\nmaster_host:::1\r\nmaster_port:6379\r\nmaster_link_status:up\r\n\
                    master_last_io_seconds_ago:7\r\nmaster_sync_in_progress:0\r\n\
                    slave_repl_offset:123\r\nslave_priority:100\r\nmaster_repl_offset:999\r\n";
        let info = Fields::of_lines(info);
        assert_eq!(role(&info), Some(ServerRole::Replica));
        assert_eq!(offset(&info, ServerRole::Replica), Some(123));
        let expected = Replication {
            master: "[::1]:6379".to_owned(),
            is_connected: true,
            lag_bytes: None,
            silence: Some(Duration::from_secs(7)),
            priority: Some(100),
        };
        assert_eq!(replication(&info), expected);
    }

    #[test]
    fn a_replica_that_is_cut_off_or_copies_is_not_connected() {
        for state in [
            "master_link_status:down\r\nmaster_last_io_seconds_ago:-1",
            "master_link_status:up\r\nmaster_sync_in_progress:1\r\nmaster_port:hostile",
            "",
        ] {
            let replication = replication(&Fields::of_lines(state));
            assert!(!replication.is_connected && replication.silence.is_none());
        }
    }
}
