//! The namespace of a bus, and all its names of Redis keys and channels.

pub(crate) mod channel;

use tidings_codec::{NameError, check_name};

/// The default namespace.
pub(crate) const DEFAULT_NAMESPACE: &str = "default";

/// The prefix of one application's names in Redis.
///
/// The braces are literal: in a Redis Cluster they put all keys of a namespace into one slot.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Namespace(String);

impl Namespace {
    pub(crate) fn parse(name: &str) -> Result<Self, NameError> {
        check_name(name).map(|()| Self(name.to_owned()))
    }

    pub(crate) fn name(&self) -> &str {
        &self.0
    }

    /// The channel of all processes, and the prefix of all keys.
    pub(crate) fn channel(&self) -> String {
        format!("tidings:{{{}}}", self.0)
    }

    /// The channel for a database. Redis's pub/sub ignores databases, so its number is part of the
    /// name: otherwise buses of different databases would share events but not keys.
    pub(crate) fn channel_in(&self, database: i64) -> String {
        match database {
            0 => self.channel(),
            _ => format!("{}/{database}", self.channel()),
        }
    }

    /// The pattern of the channels of databases with a number.
    pub(crate) fn channels_in_databases(&self) -> String {
        format!("{}/*", self.channel())
    }

    /// The key of a counter.
    pub(crate) fn counter(&self, name: &str) -> String {
        format!("{}:counter:{name}", self.channel())
    }

    /// The keys of a map.
    pub(crate) fn map(&self, name: &str) -> MapKeys {
        let key = |kind| format!("{}:{kind}:{name}", self.channel());
        MapKeys {
            name: name.to_owned(),
            entries: key("map"),
            stamp: key("map-stamp"),
            loading: key("map-leases"),
        }
    }

    /// The key of a shared value.
    pub(crate) fn shared(&self, name: &str) -> String {
        format!("{}:shared:{name}", self.channel())
    }

    /// The keys of the journal.
    pub(crate) fn journal(&self) -> JournalKeys {
        let stream = format!("{}:journal", self.channel());
        JournalKeys {
            floor: format!("{stream}:floor"),
            positions: format!("{stream}:positions"),
            stream,
        }
    }

    /// The keys of the member list.
    pub(crate) fn members(&self) -> MemberKeys {
        let key = |kind| format!("{}:{kind}", self.channel());
        MemberKeys {
            members: key("members"),
            descriptions: key("member-profiles"),
            renewals: key("member-renewals"),
        }
    }
}

/// The keys of a journal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct JournalKeys {
    /// A stream with one entry per frame.
    pub(crate) stream: String,
    /// A text: the generation of the stream, and the id below which entries may be trimmed.
    pub(crate) floor: String,
    /// A hash: the positions of durable names.
    pub(crate) positions: String,
}

/// The keys of a map.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct MapKeys {
    pub(crate) name: String,
    /// The hash of the entries: `FORMAT VERSION NONCE PAYLOAD` each, with `VERSION@END` if it expires.
    pub(crate) entries: String,
    /// The hash of `version` and `nonce`, which each change of an entry changes.
    pub(crate) stamp: String,
    /// The hash of the leases of running loaders.
    pub(crate) loading: String,
}

/// The keys of a member list.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct MemberKeys {
    /// A sorted set: the end of each member's lease, in milliseconds of Redis's clock.
    pub(crate) members: String,
    /// A hash: the description of each member.
    pub(crate) descriptions: String,
    /// A hash: the time of the last renewal, the long gaps between renewals, and the number of the
    /// last change.
    pub(crate) renewals: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_channel_has_literal_braces() {
        assert_eq!(
            Namespace::parse("shop-staging").unwrap().channel(),
            "tidings:{shop-staging}"
        );
    }

    #[test]
    fn each_database_has_a_channel_of_its_own() {
        let shop = Namespace::parse("shop").unwrap();
        assert_eq!(shop.channel_in(0), "tidings:{shop}");
        assert_eq!(shop.channel_in(3), "tidings:{shop}/3");
    }

    #[test]
    fn a_namespace_with_special_characters_is_rejected() {
        for hostile in ["", "a}b", "{a", "a b", "a*", "a\n", "ä"] {
            assert!(Namespace::parse(hostile).is_err(), "{hostile:?}");
        }
    }
}
