//! The outcome of a target, and the peers that could not take part.

use std::fmt;

use serde::Serialize;

use crate::peers::Peer;
use crate::summary::{Paired, Spread};

/// The limit of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// The outcome of a target. Its figure is the median.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) target: String,
    pub(crate) bound: Bound,
    /// `None` where it could not be measured.
    pub(crate) figure: Option<Paired>,
    /// The processor time of all processes an event, where the figure compares two rows.
    pub(crate) cpu: Option<Paired>,
    /// True if it could not be measured because a peer is left out.
    pub(crate) is_left_out: bool,
}

/// A peer that did not take part.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct LeftOut {
    #[serde(skip)]
    pub(crate) id: Peer,
    pub(crate) peer: &'static str,
    pub(crate) why: String,
}

impl Bound {
    /// Returns whether a figure is within the limit. It counts as it is shown: with two digits.
    pub(crate) fn holds(self, figure: f64) -> bool {
        let figure = (figure * 100.0).round() / 100.0;
        match self {
            Self::AtLeast(least) => figure >= least,
            Self::AtMost(most) => figure <= most,
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(least) => write!(f, "at least {least}"),
            Self::AtMost(most) => write!(f, "at most {most}"),
        }
    }
}

impl Outcome {
    /// Returns whether the target is missed. One whose peer is left out is neither reached nor missed.
    pub(crate) fn is_missed(&self) -> bool {
        let median = self.figure.map(|figure| figure.spread.median);
        !self.is_left_out && !median.is_some_and(|median| self.bound.holds(median))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match (self.is_left_out, self.is_missed()) {
            (true, _) => "not measured",
            (false, true) => "MISSED",
            (false, false) => "reached",
        };
        let (median, range) = self.figure.map_or(("-".into(), String::new()), |figure| {
            let Spread {
                least,
                median,
                most,
            } = figure.spread;
            (
                format!("{median:.2}"),
                format!("({least:.2}-{most:.2}, {})", figure.pairs),
            )
        });
        let cpu = self
            .cpu
            .map_or(String::new(), |cpu| format!("{:.2}", cpu.spread.median));
        let bound = self.bound.to_string();
        write!(
            f,
            "{:<70} {median:>7} {range:<21} {cpu:>5} {bound:<13} {word}",
            self.target
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_counts_as_it_is_shown() {
        assert!(Bound::AtMost(1.0).holds(1.004) && !Bound::AtMost(1.0).holds(1.006));
        assert!(Bound::AtLeast(8.5).holds(8.496) && !Bound::AtLeast(8.5).holds(8.494));
    }
}
