//! The description of a member: settings, JSON, validation.

use std::borrow::Cow;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tidings_codec::{NameError, NodeId, check_name};

use crate::error::start::StartError;
use crate::keyspace::member_list::Listed;
use crate::members::member::Member;
use crate::namespace::channel::PubSub;
use crate::task::milliseconds;

/// The maximal length of a text in bytes; longer ones are cut.
const MAX_TEXT: usize = 128;

/// The settings of the membership.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    pub(crate) name: String,
    pub(crate) role: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) lease: Duration,
    pub(crate) is_member: bool,
    /// The kind of pub/sub, where there is a choice.
    pub(crate) pubsub: Option<PubSub>,
    pub(crate) journal: JournalUse,
}

/// The use that a bus makes of the journal of its namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum JournalUse {
    /// It sends and receives by pub/sub.
    #[default]
    None,
    /// It sends by pub/sub, and receives both.
    Follows,
    /// It sends to the journal, and receives both.
    Writes,
}

/// The description in Redis. The lease comes first: a script looks for it. A script adds `started`.
#[derive(Serialize, Deserialize)]
struct Description<'a> {
    #[serde(skip_serializing)]
    started: u64,
    lease: u64,
    id: NodeId,
    name: Cow<'a, str>,
    role: Option<Cow<'a, str>>,
    version: Option<Cow<'a, str>>,
    host: Cow<'a, str>,
    pid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pubsub: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "JournalUse::is_none")]
    journal: JournalUse,
}

impl JournalUse {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde passes a reference"
    )]
    fn is_none(&self) -> bool {
        *self == Self::None
    }

    /// Returns true if one of two buses would miss the events of the other.
    fn misses(self, other: Self) -> bool {
        let pair = [self, other];
        pair.contains(&Self::None) && pair.contains(&Self::Writes)
    }
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            name: program(),
            role: None,
            version: None,
            lease: Duration::from_secs(15),
            is_member: true,
            pubsub: None,
            journal: JournalUse::None,
        }
    }
}

impl Profile {
    /// Checks that the role is a valid name.
    pub(crate) fn check(&self) -> Result<(), StartError> {
        let Some(role) = &self.role else {
            return Ok(());
        };
        check_name(role).map_err(|source: NameError| StartError::Role {
            role: role.clone(),
            source,
        })
    }

    /// Returns the description for the other members, as JSON.
    pub(crate) fn description(&self, id: NodeId) -> String {
        let host = host();
        let written = Description {
            started: 0,
            lease: milliseconds(self.lease),
            id,
            name: cut(&self.name),
            role: self.role.as_deref().map(Cow::Borrowed),
            version: self.version.as_deref().map(cut),
            host: cut(&host),
            pid: std::process::id(),
            pubsub: self.pubsub.map(|kind| Cow::Borrowed(kind.name())),
            journal: self.journal,
        };
        serde_json::to_string(&written).expect("texts and numbers can be serialized")
    }
}

impl Description<'_> {
    fn is_bounded(&self) -> bool {
        let texts = [&self.name, &self.host].into_iter();
        let mut texts = texts.chain(&self.role).chain(&self.version);
        texts.all(|text| text.len() <= MAX_TEXT)
    }
}

/// Returns the listed members with a valid description.
pub(crate) fn read_all(listed: &Listed) -> Vec<Member> {
    let members = listed.members.iter();
    let read = members.filter_map(|(id, description)| read(*id, description));
    read.collect()
}

/// Returns the name of a member with another kind of pub/sub than `own`, and that kind.
pub(crate) fn other_pubsub(listed: &Listed, own: PubSub) -> Option<(String, PubSub)> {
    let read = |description: &str| -> Option<(String, PubSub)> {
        let read: Description<'_> = serde_json::from_str(description).ok()?;
        Some((read.name.into_owned(), PubSub::parse(&read.pubsub?)?))
    };
    let members = listed.members.iter();
    let mut kinds = members.filter_map(|(_, description)| read(description));
    kinds.find(|(_, kind)| *kind != own)
}

/// Returns the names of the members other than this one that would miss its events, or it theirs.
pub(crate) fn missing(listed: &Listed, me: NodeId, own: JournalUse) -> Vec<String> {
    let members = listed.members.iter().filter(|(id, _)| *id != me);
    let read = members.filter_map(|(id, description)| {
        let read: Description<'_> = serde_json::from_str(description).ok()?;
        (read.id == *id && read.journal.misses(own)).then(|| read.name.into_owned())
    });
    read.collect()
}

/// Returns the described member; `None` if no bus wrote the description under this id.
pub(crate) fn read(id: NodeId, description: &str) -> Option<Member> {
    let read: Description<'_> = serde_json::from_str(description).ok()?;
    if read.id != id || !read.is_bounded() {
        return None;
    }
    Some(Member {
        id: read.id,
        name: read.name.into_owned(),
        role: read.role.map(Cow::into_owned),
        version: read.version.map(Cow::into_owned),
        host: read.host.into_owned(),
        pid: read.pid,
        started: UNIX_EPOCH.checked_add(Duration::from_millis(read.started))?,
        lease: Duration::from_millis(read.lease),
        has_journal: read.journal == JournalUse::Writes,
    })
}

fn cut(text: &str) -> Cow<'_, str> {
    Cow::Borrowed(&text[..text.floor_char_boundary(MAX_TEXT)])
}

/// The name of the program, without its folder.
fn program() -> String {
    let path = std::env::current_exe().unwrap_or_default();
    let stem = path
        .file_stem()
        .unwrap_or_else(|| Path::new("program").as_os_str());
    stem.to_string_lossy().into_owned()
}

/// The host name.
fn host() -> String {
    let linux = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let other = || {
        ["HOSTNAME", "COMPUTERNAME"]
            .iter()
            .find_map(|name| std::env::var(name).ok())
    };
    let host = linux.or_else(other).unwrap_or_default();
    host.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: NodeId = NodeId::new(7);

    fn described(name: &str) -> String {
        joined(&Profile {
            name: name.to_owned(),
            role: Some("api".to_owned()),
            ..Profile::default()
        })
    }

    /// The description as the script of a join writes it.
    fn joined(profile: &Profile) -> String {
        let description = profile.description(ID);
        description.replacen('{', r#"{"started":1700000000000,"#, 1)
    }

    #[test]
    fn a_description_can_be_read_back() {
        let member = read(ID, &described("shop \"1\"")).unwrap();
        assert_eq!((member.id, &*member.name), (ID, "shop \"1\""));
        assert_eq!(member.role.as_deref(), Some("api"));
        assert_eq!(member.version, None);
        assert_eq!(member.lease, Duration::from_secs(15));
        assert_eq!(member.pid, std::process::id());
        assert!(!member.has_journal);
    }

    #[test]
    fn a_long_text_is_cut_between_two_characters() {
        let member = read(ID, &described(&"ä".repeat(1_000))).unwrap();
        assert_eq!(member.name, "ä".repeat(MAX_TEXT / 2));
        let odd = format!("x{}", "ä".repeat(1_000));
        assert_eq!(read(ID, &described(&odd)).unwrap().name.len(), MAX_TEXT - 1);
    }

    #[test]
    fn a_member_with_another_kind_of_pubsub_is_found() {
        let listed = |pubsub: Option<PubSub>| {
            let description = joined(&Profile {
                name: "shop-1".to_owned(),
                pubsub,
                ..Profile::default()
            });
            let members = vec![(ID, "hostile".to_owned()), (ID, description)];
            Listed { change: 1, members }
        };
        let sharded = ("shop-1".to_owned(), PubSub::Sharded);
        let other = other_pubsub(&listed(Some(PubSub::Sharded)), PubSub::Classic);
        assert_eq!(other, Some(sharded));
        for same in [Some(PubSub::Classic), None] {
            assert_eq!(other_pubsub(&listed(same), PubSub::Classic), None);
        }
    }

    #[test]
    fn a_member_misses_events_if_only_one_of_two_has_a_journal() {
        use JournalUse::{Follows, None, Writes};
        let listed = |journal| {
            let description = joined(&Profile {
                journal,
                ..Profile::default()
            });
            let members = vec![(ID, description)];
            Listed { change: 1, members }
        };
        for (other, own, is_refused) in [
            (None, None, false),
            (None, Follows, false),
            (None, Writes, true),
            (Follows, None, false),
            (Follows, Writes, false),
            (Writes, None, true),
            (Writes, Follows, false),
            (Writes, Writes, false),
        ] {
            let refused = missing(&listed(other), NodeId::new(8), own);
            assert_eq!(!refused.is_empty(), is_refused, "{other:?} {own:?}");
        }
        assert!(missing(&listed(None), ID, Writes).is_empty(), "itself");
    }

    #[test]
    fn a_description_under_another_id_is_ignored() {
        assert_eq!(read(NodeId::new(8), &described("shop")), None);
    }

    #[test]
    fn a_description_that_no_bus_wrote_is_ignored() {
        let long = described("NAME").replace("NAME", &"x".repeat(MAX_TEXT + 1));
        let never = described("x").replace("1700000000000", &u64::MAX.to_string());
        let _ = read(ID, &never);
        for hostile in ["", "null", "[]", "{}", r#"{"id":7}"#, &long] {
            assert_eq!(read(ID, hostile), None, "{hostile}");
        }
    }
}
