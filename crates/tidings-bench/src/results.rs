//! The results of a benchmark.

use serde::Serialize;

use crate::outcome::{LeftOut, Outcome};
use crate::peers::Peer;
use crate::summary::Summary;
use crate::trials::Trial;

/// The results of a benchmark.
#[derive(Debug, Serialize)]
pub(crate) struct Results {
    pub(crate) seed: u64,
    pub(crate) rows: Vec<Summary>,
    pub(crate) trials: Vec<Trial>,
    pub(crate) targets: Vec<Outcome>,
    pub(crate) peers: Vec<Participant>,
    pub(crate) left_out: Vec<LeftOut>,
}

/// A peer that took part, and its settings.
#[derive(Debug, Serialize)]
pub(crate) struct Participant {
    pub(crate) peer: &'static str,
    pub(crate) settings: &'static str,
}

impl From<Peer> for Participant {
    fn from(peer: Peer) -> Self {
        Self {
            peer: peer.name(),
            settings: peer.settings(),
        }
    }
}
