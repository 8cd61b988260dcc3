//! The work of one process of a run: its JSON argument.

use serde::{Deserialize, Serialize};

/// The tasks that await their sends at once, and the sends in flight of a peer without `feed`.
pub(crate) const TASKS: u64 = 256;

/// The work of one process. Processes in other languages read the same JSON.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Work {
    /// The events of all senders together.
    pub(crate) events: u64,
    pub(crate) load: Load,
    /// Events a second, where the load is a rate.
    pub(crate) per_second: u64,
    /// The approximate size of one event in bytes of JSON.
    pub(crate) size: usize,
    /// The names that the events use in turn; the first is the wanted one.
    pub(crate) names: u64,
    /// The handlers of the wanted event.
    pub(crate) handlers: usize,
    pub(crate) format: Format,
    /// The time that a handler keeps the processor busy.
    pub(crate) handler_ns: u64,
    /// The number of sender processes, and the index of this one.
    pub(crate) senders: u64,
    pub(crate) sender: u64,
    /// With a journal: the subscribers start when all was sent.
    pub(crate) is_catching_up: bool,
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
            is_catching_up: false,
        }
    }
}

/// The way in which a run sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Load {
    /// One task that awaits each send.
    Await,
    /// 256 tasks that each await theirs.
    Tasks,
    /// As fast as possible, without awaiting each.
    Feed,
    /// A fixed number of events a second, whatever happens.
    Rate,
}

/// The payload format of tidings. The other peers use JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    Json,
    Msgpack,
}

impl Work {
    /// Returns the number of wanted events.
    pub(crate) fn wanted(&self) -> u64 {
        self.events.div_ceil(self.names)
    }

    /// Returns the number of independent orders: event `i` is in lane `i % lanes`.
    pub(crate) fn lanes(&self) -> u64 {
        match self.load {
            Load::Tasks => self.senders * TASKS,
            Load::Await | Load::Feed | Load::Rate => self.senders,
        }
    }

    /// Returns whether each event carries the time of its send, so that its latency is measured.
    pub(crate) fn is_timed(&self) -> bool {
        matches!(self.load, Load::Await | Load::Rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_of_the_work_is_what_other_languages_read() {
        let work = Work {
            events: 300_000,
            format: Format::Msgpack,
            ..Work::default()
        };
        assert_eq!(
            serde_json::to_string(&work).unwrap(),
            r#"{"events":300000,"load":"feed","per_second":0,"size":124,"names":1,"handlers":1,"format":"msgpack","handler_ns":0,"senders":1,"sender":0,"is_catching_up":false}"#
        );
    }

    #[test]
    fn one_event_of_each_round_of_names_is_wanted() {
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
