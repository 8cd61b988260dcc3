//! Test data: members.

use std::time::{Duration, UNIX_EPOCH};

use tidings_codec::NodeId;

use crate::members::member::Member;

pub(super) const LEASE: Duration = Duration::from_secs(15);

pub(super) fn member(id: u128) -> Member {
    Member {
        id: NodeId::new(id),
        name: "shop".to_owned(),
        role: None,
        version: None,
        host: String::new(),
        pid: 1,
        started: UNIX_EPOCH,
        lease: LEASE,
        has_journal: false,
    }
}
