//! The roll: who is there, for how long that holds, and what is known of each.

use std::str::FromStr;
use std::time::Duration;

use redis::{Script, ScriptInvocation};
use tidings_codec::NodeId;

use crate::keyspace::answer::Answer;
use crate::keyspace::redis::RedisKeys;
use crate::namespace::Namespace;

pub(crate) mod entries;
mod memory;
mod scripts;
pub(crate) mod silences;

use crate::keyspace::member_list::scripts::{BEAT, LEAVE, LIST};
use crate::keyspace::member_list::silences::RETURN;

/// How many are taken off the roll at once. More are a reason to renew again.
const AT_ONCE: usize = 16;

/// Among how many whose lease is over those are looked for: some may have to wait.
const LOOK_AT: usize = 64;

/// No lease that others have written makes a silence count for longer.
const LONGEST: Duration = Duration::from_hours(24);

/// Where the roll of a namespace lies.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Keys {
    /// A sorted set: until when, in milliseconds of Redis's time, each member's lease holds.
    members: String,
    /// A hash: what each member says of itself.
    descriptions: String,
    /// A hash: when somebody renewed a lease last, how long nobody did before, and how often the roll
    /// has changed.
    renewals: String,
}

/// One renewal of a lease.
#[derive(Clone, Debug)]
pub(crate) struct Renewal {
    pub(crate) id: NodeId,
    pub(crate) lease: Duration,
    /// A JSON object, without when it began.
    pub(crate) description: String,
    /// When it was first on the roll, if it ever was: in milliseconds of Redis's time since 1970.
    pub(crate) started: Option<u64>,
}

/// What a renewal brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Renewed {
    /// Milliseconds of Redis's time since 1970.
    pub(crate) now: u64,
    /// The number of the roll's last change: each join and each departure has the next one. It
    /// begins with the time, so another roll under the same keys has others.
    pub(crate) change: u64,
    /// Not all were taken off whose time is over.
    pub(crate) has_more: bool,
}

/// The whole roll.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Listed {
    /// The number of its last change.
    pub(crate) change: u64,
    /// What each member says of itself.
    pub(crate) members: Vec<(NodeId, String)>,
}

pub(crate) trait MemberList {
    /// Puts a member on the roll or renews its lease, and takes off whose lease is over. Joins and
    /// departures are announced.
    fn renew(&self, keys: &Keys, renewal: Renewal) -> Answer<Renewed>;

    /// Takes a member off the roll, at its own wish.
    fn leave(&self, keys: &Keys, id: NodeId) -> Answer<()>;

    /// All members. Whose lease is over is none, where nobody is there who would take it off.
    fn list(&self, keys: &Keys) -> Answer<Listed>;

    /// What these say of themselves, in order; `None` for who is not on the roll.
    fn describe(&self, keys: &Keys, ids: &[NodeId]) -> Answer<Vec<Option<String>>>;
}

impl Keys {
    pub(crate) fn of(namespace: &Namespace) -> Self {
        Self {
            members: namespace.members(),
            descriptions: namespace.descriptions(),
            renewals: namespace.renewals(),
        }
    }

    fn script(&self, script: &'static Script) -> ScriptInvocation<'static> {
        let mut script = script.key(&self.members);
        script.key(&self.descriptions).key(&self.renewals);
        script
    }
}

impl MemberList for RedisKeys {
    fn renew(&self, keys: &Keys, renewal: Renewal) -> Answer<Renewed> {
        let mut script = keys.script(&BEAT);
        script
            .arg(renewal.id.to_string())
            .arg(milliseconds(renewal.lease))
            .arg(renewal.description)
            .arg(renewal.started.map_or(String::new(), |at| at.to_string()))
            .arg(&self.channel)
            .arg(milliseconds(RETURN))
            .arg(milliseconds(LONGEST))
            .arg(AT_ONCE)
            .arg(LOOK_AT)
            .arg(milliseconds(silences::LEAST))
            .arg(silences::MOST);
        let answer = self.run::<(u64, u64, bool)>(script);
        Box::pin(async move {
            let (now, change, has_more) = answer.await?;
            Ok(Renewed {
                now,
                change,
                has_more,
            })
        })
    }

    fn leave(&self, keys: &Keys, id: NodeId) -> Answer<()> {
        let mut script = keys.script(&LEAVE);
        script.arg(id.to_string()).arg(&self.channel);
        self.run(script)
    }

    fn list(&self, keys: &Keys) -> Answer<Listed> {
        let mut script = keys.script(&LIST);
        script.arg(milliseconds(RETURN));
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

    fn describe(&self, keys: &Keys, ids: &[NodeId]) -> Answer<Vec<Option<String>>> {
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

/// Others may have written bytes that are no text: then they are no description.
fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_default()
}

pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
