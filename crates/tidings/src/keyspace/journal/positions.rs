//! The positions of durable names: a hash with one text per name.

use std::time::Duration;

use tidings_codec::NodeId;

use crate::keyspace::journal::answer::Answered;

/// Operations on the positions of durable names, each atomic.
pub(crate) trait Positions {
    /// Takes the lease of a name, unless another node holds it.
    fn take(&self, claim: &Claim) -> Answered<Taken>;

    /// Renews a lease that this node holds or that was lost, and stores a place if one is given.
    /// Returns the holder, if it is another node.
    fn renew(&self, claim: &Claim, place: Option<String>) -> Answered<Option<String>>;

    /// Stores a last place and ends the lease, if this node holds it.
    fn release(&self, claim: &Claim, place: Option<String>) -> Answered<()>;

    /// Returns all names.
    fn positions(&self) -> Answered<Vec<Stored>>;

    /// Removes a name, whoever holds it. Returns true if it was there.
    fn remove(&self, name: &str) -> Answered<bool>;
}

/// The request of a node for a durable name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) name: String,
    pub(crate) me: NodeId,
    /// The time after which another node may take over.
    pub(crate) lease: Duration,
    /// The retention for this name.
    pub(crate) max_age: Duration,
    pub(crate) max_bytes: u64,
}

/// The result of an attempt to take a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// This node holds it.
    Ours {
        /// The place of the name, if it has one.
        place: Option<String>,
        /// The nodes that held it before, the newest first.
        predecessors: Vec<NodeId>,
    },
    /// The node with this id holds it.
    Others(String),
}

/// The position of a durable name: untrusted input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) name: String,
    /// The end of the lease, in milliseconds of Redis's clock since 1970; 0 if it was released.
    pub(crate) until: u64,
    /// The id of the last holder.
    pub(crate) holder: String,
    /// Those of the holders before it, the newest first.
    pub(crate) predecessors: Vec<NodeId>,
    pub(crate) max_age: Duration,
    pub(crate) max_bytes: u64,
    /// The last time at which a place was stored, or the lease was first taken.
    pub(crate) at: u64,
    pub(crate) place: Option<String>,
}

/// The maximal number of nodes before the holder that are remembered for a name.
pub(super) const PREDECESSORS: usize = 8;

/// Parses node ids with commas between them. Texts that are none are left out.
pub(super) fn predecessors(text: &str) -> Vec<NodeId> {
    let ids = text.split(',').filter_map(|id| id.parse().ok());
    ids.collect()
}

/// Returns the largest maximal age and size that a name asks for; 0 if there is none.
pub(crate) fn limits(all: &[Stored]) -> (Duration, u64) {
    let largest = |(age, bytes): (Duration, u64), one: &Stored| {
        (age.max(one.max_age), bytes.max(one.max_bytes))
    };
    all.iter().fold((Duration::ZERO, 0), largest)
}

impl Stored {
    /// Parses the text of a name, as the scripts write it: `UNTIL HOLDERS AGE BYTES AT PLACE`. A text
    /// that no bus wrote is `None`.
    pub(super) fn parse(name: &str, text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.splitn(6, ' ').collect();
        let [until, holders, age, bytes, at, place] = parts[..] else {
            return None;
        };
        let (holder, before) = holders.split_once(',').unwrap_or((holders, ""));
        let is_id = !holder.is_empty() && holder.bytes().all(|byte| byte.is_ascii_hexdigit());
        Some(Self {
            name: name.to_owned(),
            until: until.parse().ok()?,
            holder: is_id.then(|| holder.to_owned())?,
            predecessors: predecessors(before),
            max_age: Duration::from_millis(age.parse().ok()?),
            max_bytes: bytes.parse().ok()?,
            at: at.parse().ok()?,
            place: (!place.is_empty()).then(|| place.to_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_keeps_what_the_most_demanding_name_asks_for() {
        let stored = |text| Stored::parse("billing", text).unwrap();
        let all = [stored("0 a 9 2 0 "), stored("0 a 2 8 0 -:1-1")];
        assert_eq!(limits(&all), (Duration::from_millis(9), 8));
        assert_eq!(limits(&[]), (Duration::ZERO, 0));
    }

    #[test]
    fn a_text_that_no_bus_wrote_is_no_position() {
        for other in [
            "",
            "1 2 3",
            "x a 1 1 1 ",
            "1 ? 1 1 1 ",
            "1 a 1 1 1",
            "1 a -1 1 1 ",
        ] {
            assert_eq!(Stored::parse("billing", other), None, "{other}");
        }
        let (one, other) = (NodeId::new(1), NodeId::new(2));
        let text = format!("9 a,{one},x,{other} 1 1 1 p q");
        let stored = Stored::parse("billing", &text).unwrap();
        assert_eq!((stored.until, stored.place.as_deref()), (9, Some("p q")));
        assert_eq!(
            (&*stored.holder, stored.predecessors),
            ("a", vec![one, other])
        );
    }
}
