//! Every Redis key and channel name, in one place.

use tidings_codec::{NameError, check_name};

/// The namespace of a bus that was given none.
pub(crate) const DEFAULT_NAMESPACE: &str = "default";

/// The prefix of one application's names in Redis.
///
/// The braces are literal: in a Cluster they make everything of a namespace lie in one slot.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Namespace(String);

impl Namespace {
    pub(crate) fn parse(name: &str) -> Result<Self, NameError> {
        check_name(name).map(|()| Self(name.to_owned()))
    }

    pub(crate) fn name(&self) -> &str {
        &self.0
    }

    /// The channel that all processes share. It is also how every key begins.
    pub(crate) fn channel(&self) -> String {
        format!("tidings:{{{}}}", self.0)
    }

    /// The channel of those that use this database. Redis's pub/sub does not know databases, so it
    /// is a part of the name: otherwise events would reach another database, and keys would not.
    pub(crate) fn channel_in(&self, database: i64) -> String {
        match database {
            0 => self.channel(),
            _ => format!("{}/{database}", self.channel()),
        }
    }

    /// All channels of databases with a number, as a pattern.
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

    /// The key of the roll: until when each member's lease holds.
    pub(crate) fn members(&self) -> String {
        format!("{}:members", self.channel())
    }

    /// The key of what members say of themselves.
    pub(crate) fn descriptions(&self) -> String {
        format!("{}:member-profiles", self.channel())
    }

    /// The key of when the members renewed their leases last.
    pub(crate) fn renewals(&self) -> String {
        format!("{}:member-renewals", self.channel())
    }
}

/// Where a map lies.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct MapKeys {
    pub(crate) name: String,
    /// The hash of the entries: `FORMAT VERSION NONCE PAYLOAD` each, with `VERSION@END` where it has
    /// an end.
    pub(crate) entries: String,
    /// The hash of `version` and `nonce`, which every change of any entry changes.
    pub(crate) stamp: String,
    /// The hash of who may fill which gap: the leases of loaders that run.
    pub(crate) loading: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_channel_keeps_its_braces() {
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
    fn no_namespace_leaves_its_braces() {
        for hostile in ["", "a}b", "{a", "a b", "a*", "a\n", "ä"] {
            assert!(Namespace::parse(hostile).is_err(), "{hostile:?}");
        }
    }
}
