//! The outcome of a target, and the peers that could not take part.

use std::fmt;

use serde::Serialize;

use crate::peers::Peer;

/// The limit of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// The outcome of a target.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) target: String,
    pub(crate) bound: Bound,
    /// The measured figure; `None` where it could not be measured.
    pub(crate) figure: Option<f64>,
    /// The reason for a missing figure, or a remark.
    pub(crate) remark: String,
    /// Whether it could not be measured because a peer is left out.
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
    pub(crate) fn holds(self, figure: f64) -> bool {
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
        let holds = self.figure.is_some_and(|figure| self.bound.holds(figure));
        !holds && !self.is_left_out
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match (self.is_left_out, self.is_missed()) {
            (true, _) => "not measured",
            (false, true) => "MISSED",
            (false, false) => "reached",
        };
        let figure = self
            .figure
            .map_or("-".to_owned(), |figure| format!("{figure:.2}"));
        let bound = self.bound.to_string();
        write!(f, "{:<84} {figure:>9}  {bound:<15} {word}", self.target)?;
        if self.remark.is_empty() {
            return Ok(());
        }
        write!(f, " ({})", self.remark)
    }
}
