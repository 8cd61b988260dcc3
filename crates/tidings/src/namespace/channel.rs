//! The channel of a namespace, and the kind of pub/sub that carries it.

/// The kind of pub/sub.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum PubSub {
    /// Every server passes a message on to all others.
    #[default]
    Classic,
    /// Only the servers that have the channel's slot pass a message on.
    Sharded,
}

/// The channel of all processes of a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Channel {
    pub(crate) name: String,
    pub(crate) kind: PubSub,
}

impl PubSub {
    /// The command that publishes.
    pub(crate) fn publish(self) -> &'static str {
        match self {
            Self::Classic => "PUBLISH",
            Self::Sharded => "SPUBLISH",
        }
    }

    /// The command that subscribes.
    pub(crate) fn subscribe(self) -> &'static str {
        match self {
            Self::Classic => "SUBSCRIBE",
            Self::Sharded => "SSUBSCRIBE",
        }
    }

    /// The kind of its messages on the wire.
    pub(crate) fn message(self) -> &'static str {
        match self {
            Self::Classic => "message",
            Self::Sharded => "smessage",
        }
    }

    /// The name in addresses and in the member list.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Sharded => "sharded",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        let kinds = [Self::Classic, Self::Sharded];
        kinds.into_iter().find(|kind| kind.name() == name)
    }
}
