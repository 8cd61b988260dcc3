//! What one process of a run has to do: it gets this as one argument, in JSON.

use serde::{Deserialize, Serialize};

/// How many tasks await their sends at once, and how many sends a peer without `feed` has under
/// way.
pub(crate) const TASKS: u64 = 256;

/// All that a process of a run must know. Processes in other languages read the same JSON.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Work {
    /// How many events are sent, by all senders together.
    pub(crate) events: u64,
    pub(crate) load: Load,
    /// Events a second, where the load is a rate.
    pub(crate) per_second: u64,
    /// About how many bytes of JSON one event takes.
    pub(crate) size: usize,
    /// How many names the events travel under in turn; the first is wanted.
    pub(crate) names: u64,
    /// How many handlers the wanted event has.
    pub(crate) handlers: usize,
    pub(crate) format: Format,
    /// How long a handler keeps the processor busy.
    pub(crate) handler_ns: u64,
    /// How many processes send, and which of them this is.
    pub(crate) senders: u64,
    pub(crate) sender: u64,
}

impl Default for Work {
    fn default() -> Self {
        Self {
            events: 1,
            load: Load::Feed,
            per_second: 0,
            size: 124,
            names: 1,
            handlers: 1,
            format: Format::Json,
            handler_ns: 0,
            senders: 1,
            sender: 0,
        }
    }
}

/// How a run sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Load {
    /// One task that awaits each send.
    Await,
    /// 256 tasks that each await theirs.
    Tasks,
    /// As fast as possible, without awaiting each.
    Feed,
    /// So many a second, whatever happens.
    Rate,
}

/// What tidings writes. The other peers write JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    Json,
    Msgpack,
}

impl Work {
    /// How many of the events are wanted.
    pub(crate) fn wanted(&self) -> u64 {
        self.events.div_ceil(self.names)
    }

    /// How many senders in one there are, each with an order of its own: event `i` is in lane
    /// `i % lanes`.
    pub(crate) fn lanes(&self) -> u64 {
        match self.load {
            Load::Tasks => self.senders * TASKS,
            Load::Await | Load::Feed | Load::Rate => self.senders,
        }
    }

    /// Whether each event carries the time of its send, and its latency is measured.
    pub(crate) fn is_timed(&self) -> bool {
        matches!(self.load, Load::Await | Load::Rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_in_other_languages_read_these_words() {
        let work = Work {
            events: 300_000,
            format: Format::Msgpack,
            ..Work::default()
        };
        assert_eq!(
            serde_json::to_string(&work).unwrap(),
            r#"{"events":300000,"load":"feed","per_second":0,"size":124,"names":1,"handlers":1,"format":"msgpack","handler_ns":0,"senders":1,"sender":0}"#
        );
    }

    #[test]
    fn one_event_of_each_turn_of_names_is_wanted() {
        let work = |events, names| Work {
            events,
            names,
            ..Work::default()
        };
        assert_eq!(work(512, 256).wanted(), 2);
        assert_eq!(work(513, 256).wanted(), 3);
        assert_eq!(work(7, 1).wanted(), 7);
    }
}
