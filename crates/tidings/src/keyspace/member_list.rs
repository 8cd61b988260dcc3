//! The member list: the members of a namespace, their leases and descriptions.

use std::str::FromStr;
use std::time::Duration;

use redis::{Script, ScriptInvocation};
use tidings_codec::NodeId;

use crate::keyspace::answer::Answer;
use crate::keyspace::redis::{KeyConnection, RedisKeys};
use crate::namespace::MemberKeys;
use crate::task::milliseconds;

mod memory;
pub(crate) mod renewal_gaps;
mod scripts;
pub(crate) mod stored;

use crate::keyspace::member_list::renewal_gaps::RECONNECT_TIME;
use crate::keyspace::member_list::scripts::{LEAVE, LIST, RENEW};

/// The maximal number of expired members that one renewal removes. If there are more, the member
/// renews again at once.
const MAX_REMOVED: usize = 16;

/// The number of expired leases that are examined for that; some may have more time.
const SCAN_LIMIT: usize = 64;

/// The maximal lease that is read from a description, which may be forged.
const MAX_LEASE: Duration = Duration::from_hours(24);

/// One renewal of a lease.
#[derive(Clone, Debug)]
pub(crate) struct Renewal {
    pub(crate) id: NodeId,
    pub(crate) lease: Duration,
    /// A JSON object without `started`.
    pub(crate) description: String,
    /// The time of its first join, if it has joined, in milliseconds of Redis's clock since 1970.
    pub(crate) started: Option<u64>,
}

/// The result of a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Renewed {
    /// The time of Redis's clock, in milliseconds since 1970.
    pub(crate) now: u64,
    /// The number of the last change: each join and each departure has the next one. The first is
    /// taken from the time, so that a new list under the same keys has other numbers.
    pub(crate) change: u64,
    /// More expired members are left to remove.
    pub(crate) has_more: bool,
    /// The member was not on the list.
    pub(crate) is_new: bool,
}

/// The whole member list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Listed {
    /// The number of its last change.
    pub(crate) change: u64,
    /// The id and description of each member.
    pub(crate) members: Vec<(NodeId, String)>,
}

pub(crate) trait MemberList {
    /// Joins or renews the lease of a member, removes expired members, and sends notifications of
    /// joins and departures.
    fn renew(&self, keys: &MemberKeys, renewal: Renewal) -> Answer<Renewed>;

    /// Removes a member that leaves.
    fn leave(&self, keys: &MemberKeys, id: NodeId) -> Answer<()>;

    /// Returns all members, without those that have expired while no member renewed.
    fn list(&self, keys: &MemberKeys) -> Answer<Listed>;

    /// Returns the descriptions of these members, in order; `None` for an id that is not listed.
    fn describe(&self, keys: &MemberKeys, ids: &[NodeId]) -> Answer<Vec<Option<String>>>;
}

impl MemberKeys {
    fn script(&self, script: &'static Script) -> ScriptInvocation<'static> {
        let mut script = script.key(&self.members);
        script.key(&self.descriptions).key(&self.renewals);
        script
    }
}

impl<C: KeyConnection> MemberList for RedisKeys<C> {
    fn renew(&self, keys: &MemberKeys, renewal: Renewal) -> Answer<Renewed> {
        let mut script = keys.script(&RENEW);
        script
            .arg(renewal.id.to_string())
            .arg(milliseconds(renewal.lease))
            .arg(renewal.description)
            .arg(renewal.started.map_or(String::new(), |at| at.to_string()))
            .arg(&self.channel.name)
            .arg(milliseconds(RECONNECT_TIME))
            .arg(milliseconds(MAX_LEASE))
            .arg(MAX_REMOVED)
            .arg(SCAN_LIMIT)
            .arg(milliseconds(renewal_gaps::MIN_LENGTH))
            .arg(renewal_gaps::MAX_GAPS)
            .arg(self.channel.kind.publish());
        let answer = self.run::<(u64, u64, bool, bool)>(script);
        Box::pin(async move {
            let (now, change, has_more, is_new) = answer.await?;
            Ok(Renewed {
                now,
                change,
                has_more,
                is_new,
            })
        })
    }

    fn leave(&self, keys: &MemberKeys, id: NodeId) -> Answer<()> {
        let mut script = keys.script(&LEAVE);
        script.arg(id.to_string()).arg(&self.channel.name);
        script.arg(self.channel.kind.publish());
        self.run(script)
    }

    fn list(&self, keys: &MemberKeys) -> Answer<Listed> {
        let mut script = keys.script(&LIST);
        script.arg(milliseconds(RECONNECT_TIME));
        let answer = self.run::<(u64, Vec<(Vec<u8>, Vec<u8>)>)>(script);
        Box::pin(async move {
            let (change, members) = answer.await?;
            let members = members.into_iter().filter_map(|(id, description)| {
                let id = NodeId::from_str(&text(id)).ok()?;
                Some((id, text(description)))
            });
            Ok(Listed {
                change,
                members: members.collect(),
            })
        })
    }

    fn describe(&self, keys: &MemberKeys, ids: &[NodeId]) -> Answer<Vec<Option<String>>> {
        let mut get = redis::cmd("HMGET");
        get.arg(&keys.descriptions);
        for id in ids {
            get.arg(id.to_string());
        }
        let answer = self.ask::<Vec<Option<Vec<u8>>>>(get);
        Box::pin(async move {
            let descriptions = answer.await?.into_iter();
            Ok(descriptions.map(|one| one.map(text)).collect())
        })
    }
}

/// A foreign description that is not UTF-8 becomes an invalid one.
fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_default()
}
