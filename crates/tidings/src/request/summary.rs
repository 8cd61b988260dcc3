//! What became of an ask, member by member.

use std::fmt;
use std::time::Duration;

use tidings_codec::{Escaped, NodeId};

/// A member that was asked, or that answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Responder {
    /// Its node id.
    pub node: NodeId,
    /// Its name among the members; `None` for a node that was none when the ask was made.
    pub name: Option<String>,
    /// Its role, where it has one.
    pub role: Option<String>,
}

impl Responder {
    /// A node that is no member, or not yet.
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

/// Who handled an event, and who did not: each member that was expected is in one of the lists.
///
/// ```
/// use std::time::Duration;
/// use tidings::prelude::*;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let bus = Bus::builder("memory:summary-docs").start().await?;
/// let sending = bus.send_to_all("cache.clear", "user:7");
/// let summary = sending.acknowledged(Duration::from_secs(2)).await?;
/// if !summary.is_complete() {
///     // Such as `3 handled, 1 failed: api-2 (no such user), 1 did not answer within 2s: job-1`.
///     eprintln!("{summary}");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// All their handlers of the event succeeded.
    pub handled: Vec<Responder>,
    /// A handler failed or was never called, or the answer could not be read: who, and why.
    pub failed: Vec<(Responder, String)>,
    /// They have no handler of the event.
    pub without_handler: Vec<Responder>,
    /// They did not answer in time.
    pub silent: Vec<Responder>,
    /// They left before they answered.
    pub left: Vec<Responder>,
    /// Which of those above that answered were no members when the ask was made.
    pub unexpected: Vec<NodeId>,
    /// How many answers came faster than they were read, and were dropped.
    pub uncounted: usize,
    /// How long answers were waited for, at most.
    pub within: Duration,
}

impl Summary {
    /// Whether everybody who was expected has answered, and nobody failed. A member without a
    /// handler has nothing to do, so it does not count against it.
    pub fn is_complete(&self) -> bool {
        self.failed.is_empty() && self.silent.is_empty() && self.left.is_empty()
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
        let silent = format!("did not answer within {:?}", self.within);
        let groups = [
            (&*self.without_handler, "without a handler"),
            (&*self.silent, &*silent),
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
            within: Duration::from_secs(2),
            ..Summary::default()
        };
        assert_eq!(summary.to_string(), "3 handled");
        assert!(summary.is_complete());

        summary.without_handler = vec![who(6, "cron"), Responder::foreign(NodeId::new(7))];
        assert!(summary.is_complete());

        summary.failed = vec![(who(2, "api-2"), "no such user".to_owned())];
        summary.silent = vec![who(5, "job-1")];
        assert!(!summary.is_complete());
        assert_eq!(
            summary.to_string(),
            "3 handled, 1 failed: api-2 (no such user), \
             2 without a handler: cron, node 00000000000000000000000000000007, \
             1 did not answer within 2s: job-1",
        );
    }
}
