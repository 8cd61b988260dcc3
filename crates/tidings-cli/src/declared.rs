//! Checks the name of an event against those that the members declare.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use tidings::{Bus, Inspection};
use tidings_codec::check_name;

use crate::app::App;
use crate::connect::known_members;
use crate::exit::{Exit, Problem};
use crate::inspect::{Inspections, inspect};
use crate::terminal::escape;

/// The longest time that members have to name their events: the event waits for it.
const PATIENCE: Duration = Duration::from_secs(1);

/// The least similarity of a name that is suggested; 1 is equal.
const SIMILAR: f64 = 0.6;

/// The names that the members declare.
#[derive(Debug, Default, PartialEq, Eq)]
struct Declared {
    names: BTreeSet<String>,
    /// True if a handler takes events of every name.
    has_catch_all: bool,
    /// True if the handlers of some members are not known.
    is_partial: bool,
}

/// Refuses the name of an event that no member declares, with the name that may be meant. If not all
/// handlers are known, a warning is all that is possible.
pub(crate) async fn check(app: &App, bus: &Bus, event: &str) -> Result<(), Problem> {
    // A name that is not valid is an error of the send.
    if check_name(event).is_err() || event.starts_with("tidings.") {
        return Ok(());
    }
    let members = known_members(bus).await;
    let timeout = app.global.timeout.min(PATIENCE);
    let declared = Declared::by(&inspect(bus, members, timeout).await);
    if !declared.refuses(event) {
        return Ok(());
    }
    let mut text = format!("no member declares `{}`", escape(event));
    if let Some(similar) = declared.similar_to(event) {
        let _ = write!(text, "; did you mean `{}`?", escape(similar));
    }
    if declared.is_partial {
        app.warn(&format!("{text} (not all members have answered)"));
        return Ok(());
    }
    text += " (--force sends it all the same)";
    Err(Problem::new(Exit::Nobody, text))
}

impl Declared {
    fn by(inspections: &Inspections) -> Self {
        let mut declared = Self::default();
        let members = inspections.members.iter();
        for inspection in members.clone().filter_map(|it| it.inspection()) {
            declared.add(inspection);
        }
        for inspection in &inspections.others {
            declared.add(inspection);
        }
        declared.is_partial |= members.clone().any(|it| it.inspection().is_none());
        declared
    }

    fn add(&mut self, inspection: &Inspection) {
        self.is_partial |= inspection.unlisted_handlers > 0;
        for event in inspection.handlers.iter().flat_map(|it| &it.events) {
            if event == "*" {
                self.has_catch_all = true;
            } else {
                self.names.insert(event.clone());
            }
        }
    }

    /// Returns true if there are names, and this is none of them.
    fn refuses(&self, event: &str) -> bool {
        !self.has_catch_all && !self.names.is_empty() && !self.names.contains(event)
    }

    /// Returns the declared name that is the most similar, if one is.
    fn similar_to(&self, event: &str) -> Option<&str> {
        let event = folded(event);
        let names = self.names.iter();
        let similarities = names.map(|name| (similarity(&event, &folded(name)), &**name));
        let best = similarities.max_by(|one, other| one.0.total_cmp(&other.0));
        best.filter(|best| best.0 >= SIMILAR).map(|best| best.1)
    }
}

/// Returns how similar two names are: by the letters to insert, remove, replace or swap, or because
/// one is a part of the other.
fn similarity(one: &str, other: &str) -> f64 {
    let has_part = |name: &str, part: &str| name.split('.').any(|it| it == part);
    if has_part(one, other) || has_part(other, one) {
        return SIMILAR;
    }
    strsim::normalized_damerau_levenshtein(one, other)
}

/// Returns the name in small letters, with dots as the only separators.
fn folded(name: &str) -> String {
    let folded = name.chars().map(|it| match it {
        '_' | '-' | ':' | '/' => '.',
        it => it.to_ascii_lowercase(),
    });
    folded.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(names: &[&str]) -> Declared {
        Declared {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            ..Declared::default()
        }
    }

    #[test]
    fn the_most_similar_name_is_suggested() {
        let names = declared(&["user.renamed", "user.removed", "order.placed", "tick"]);
        for (event, similar) in [
            ("user.renmaed", Some("user.renamed")),
            ("user.remove", Some("user.removed")),
            ("User_Renamed", Some("user.renamed")),
            ("users.renamed", Some("user.renamed")),
            ("placed", Some("order.placed")),
            ("tikc", Some("tick")),
            ("ticks", Some("tick")),
            ("cache.clear", None),
            ("x", None),
        ] {
            assert_eq!(names.similar_to(event), similar, "{event}");
        }
    }

    #[test]
    fn a_name_is_refused_only_where_names_are_declared() {
        assert!(declared(&["tick"]).refuses("tock"));
        assert!(!declared(&["tick"]).refuses("tick"));
        assert!(!declared(&[]).refuses("tock"));
        let all = Declared {
            has_catch_all: true,
            ..declared(&["tick"])
        };
        assert!(!all.refuses("tock"));
    }
}
