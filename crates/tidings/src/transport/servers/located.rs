//! A server of a topology, as others name it.

use redis::ConnectionAddr;

use crate::transport::address::{Place, shown_address};

/// The maximum number of servers that are listed.
pub(crate) const MAX_SERVERS: usize = 256;

/// A server of the topology, as others name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Located {
    pub(crate) at: ConnectionAddr,
    pub(crate) is_sentinel: bool,
    pub(crate) node: Option<ClusterNode>,
}

/// The state of a node as another node of the cluster knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClusterNode {
    pub(crate) id: String,
    /// The first and the last slot of each range that it has.
    pub(crate) slots: Vec<(u16, u16)>,
}

impl Located {
    pub(crate) fn server(at: ConnectionAddr) -> Self {
        Self {
            at,
            is_sentinel: false,
            node: None,
        }
    }

    /// Returns true if it has this slot of a cluster.
    pub(crate) fn has_slot(&self, slot: u16) -> bool {
        let mut slots = self.node.iter().flat_map(|node| &node.slots);
        slots.any(|(first, last)| (*first..=*last).contains(&slot))
    }

    pub(crate) fn shown(&self) -> String {
        shown_address(&self.at)
    }
}

/// Adds a place, unless it is known.
pub(in crate::transport) fn add(places: &mut Vec<Place>, place: Place) {
    if places.len() < MAX_SERVERS && !places.contains(&place) {
        places.push(place);
    }
}
