//! The outcome of a request, member by member.

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};
use tidings_codec::{Escaped, NodeId};

use crate::observe::serialize;

/// A member that a request was sent to, or that responded.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
pub struct Responder {
    /// Its node id.
    pub node: NodeId,
    /// Its name among the members; `None` for a node that was no member when the request was sent.
    pub name: Option<String>,
    /// Its role, where it has one.
    pub role: Option<String>,
}

impl Responder {
    /// A node that is no member.
    pub(crate) fn foreign(node: NodeId) -> Self {
        Self {
            node,
            name: None,
            role: None,
        }
    }
}

/// Its name, [escaped](tidings_codec::Escaped), or else its node id.
impl fmt::Display for Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{}", Escaped(name)),
            None => write!(f, "node {}", self.node),
        }
    }
}

/// The members that handled an event, and those that did not: each member that was expected is in one of the lists.
///
/// It serializes under the names of its fields: `failed` as a list of
/// `{"responder": {…}, "error": "…"}`, `timeout` in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Summary {
    /// Members whose handlers all succeeded.
    pub handled: Vec<Responder>,
    /// Members with a handler that failed or was not called, or with a response that cannot be decoded, and
    /// the reason.
    #[serde(serialize_with = "failed")]
    pub failed: Vec<(Responder, String)>,
    /// Members that have no handler for the event.
    pub without_handler: Vec<Responder>,
    /// Members that did not respond in time, or before this bus ended.
    pub timed_out: Vec<Responder>,
    /// Members that left before they responded.
    pub left: Vec<Responder>,
    /// Nodes that responded and were no members when the request was sent. They are in one of the lists
    /// above, too.
    pub unexpected: Vec<NodeId>,
    /// The number of responses that were dropped because they arrived faster than they were read.
    pub dropped: usize,
    /// The time that members had to respond: the timeout, or less if this bus ended first.
    #[serde(serialize_with = "serialize::duration")]
    pub timeout: Duration,
}

impl Summary {
    /// Returns true if every expected member responded, and none failed. A member without a handler has
    /// nothing to do, so it does not count.
    pub fn is_complete(&self) -> bool {
        self.failed.is_empty() && self.timed_out.is_empty() && self.left.is_empty()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} handled", self.handled.len())?;
        if !self.failed.is_empty() {
            write!(f, ", {} failed: ", self.failed.len())?;
            let failed = self.failed.iter();
            listed(
                f,
                failed.map(|(who, text)| format!("{who} ({})", Escaped(text))),
            )?;
        }
        let timed_out = format!("did not respond within {:?}", self.timeout);
        let groups = [
            (&*self.without_handler, "without a handler"),
            (&*self.timed_out, &*timed_out),
            (&*self.left, "left"),
        ];
        for (members, what) in groups
            .into_iter()
            .filter(|(members, _)| !members.is_empty())
        {
            write!(f, ", {} {what}: ", members.len())?;
            listed(f, members.iter())?;
        }
        Ok(())
    }
}

fn failed<S: Serializer>(failed: &[(Responder, String)], serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Failed<'a> {
        responder: &'a Responder,
        error: &'a str,
    }
    let failed = failed.iter();
    serializer.collect_seq(failed.map(|(responder, error)| Failed { responder, error }))
}

fn listed(
    f: &mut fmt::Formatter<'_>,
    items: impl Iterator<Item = impl fmt::Display>,
) -> fmt::Result {
    for (index, item) in items.enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        write!(f, "{comma}{item}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{json, to_value};

    use super::*;

    fn who(node: u128, name: &str) -> Responder {
        Responder {
            name: Some(name.to_owned()),
            ..Responder::foreign(NodeId::new(node))
        }
    }

    #[test]
    fn it_reads_as_a_person_would_say_it() {
        let mut summary = Summary {
            handled: vec![who(1, "api-1"), who(3, "api-3"), who(4, "api-4")],
            timeout: Duration::from_secs(2),
            ..Summary::default()
        };
        assert_eq!(summary.to_string(), "3 handled");
        assert!(summary.is_complete());

        summary.without_handler = vec![who(6, "cron"), Responder::foreign(NodeId::new(7))];
        assert!(summary.is_complete());

        summary.failed = vec![(who(2, "api-2"), "no such user".to_owned())];
        summary.timed_out = vec![who(5, "job-1")];
        assert!(!summary.is_complete());
        assert_eq!(
            summary.to_string(),
            "3 handled, 1 failed: api-2 (no such user), \
             2 without a handler: cron, node 00000000000000000000000000000007, \
             1 did not respond within 2s: job-1",
        );
    }

    #[test]
    fn it_serializes_under_the_names_of_its_fields() {
        let api = json!({
            "node": "00000000000000000000000000000002",
            "name": "api-2",
            "role": null,
        });
        let summary = Summary {
            handled: vec![who(2, "api-2")],
            failed: vec![(who(2, "api-2"), "no such user".to_owned())],
            unexpected: vec![NodeId::new(2)],
            timeout: Duration::from_secs(2),
            ..Summary::default()
        };
        let expected = json!({
            "handled": [api],
            "failed": [{"responder": api, "error": "no such user"}],
            "without_handler": [],
            "timed_out": [],
            "left": [],
            "unexpected": ["00000000000000000000000000000002"],
            "dropped": 0,
            "timeout": 2_000,
        });
        assert_eq!(to_value(summary).unwrap(), expected);
    }
}
