//! The filter of a stream of events.

use serde::Deserialize;
use serde_json::Value;
use tidings::{NodeId, TappedEvent};

use crate::commands::listen::matches;

/// The query of a stream. Empty texts mean everything.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Filter {
    /// True if events are wanted at all.
    pub(super) events: bool,
    /// Patterns of names, separated by commas.
    pub(super) name: String,
    /// The name or the first digits of the id of the sender.
    pub(super) sender: String,
    /// A part of the payload as JSON, upper or lower case.
    pub(super) text: String,
    /// True if events of the buses themselves are wanted.
    pub(super) control: bool,
}

impl Filter {
    /// Returns the filter in the form in which it is compared.
    pub(super) fn prepared(mut self) -> Self {
        self.text = self.text.to_lowercase();
        self
    }

    /// Returns whether the name and the sender are wanted.
    pub(super) fn wants(&self, event: &TappedEvent, sender_name: Option<&str>) -> bool {
        self.wants_name(event.name()) && self.wants_sender(*event.sender(), sender_name)
    }

    fn wants_name(&self, name: &str) -> bool {
        let mut patterns = self.name.split(',').map(str::trim);
        self.name.trim().is_empty() || patterns.any(|pattern| matches(pattern, name))
    }

    fn wants_sender(&self, id: Option<NodeId>, name: Option<&str>) -> bool {
        let wanted = self.sender.trim();
        wanted.is_empty()
            || name == Some(wanted)
            || id.is_some_and(|id| id.to_string().starts_with(wanted))
    }

    /// Returns whether payloads are looked at.
    pub(super) fn has_text(&self) -> bool {
        !self.text.is_empty()
    }

    /// Returns whether the payload has the text.
    pub(super) fn wants_data(&self, data: Option<&Value>) -> bool {
        let has_text = |data: &Value| data.to_string().to_lowercase().contains(&self.text);
        !self.has_text() || data.is_some_and(has_text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(name: &str, sender: &str, text: &str) -> Filter {
        let filter = Filter {
            name: name.to_owned(),
            sender: sender.to_owned(),
            text: text.to_owned(),
            ..Filter::default()
        };
        filter.prepared()
    }

    #[test]
    fn an_empty_filter_wants_everything() {
        let filter = filter("", " ", "");
        assert!(filter.wants_name("tick") && filter.wants_sender(None, None));
        assert!(filter.wants_data(None));
    }

    #[test]
    fn one_of_the_patterns_must_match() {
        let filter = filter("user.*, tick", "", "");
        assert!(filter.wants_name("user.renamed") && filter.wants_name("tick"));
        assert!(!filter.wants_name("ticks"));
    }

    #[test]
    fn a_sender_is_known_by_its_name_or_the_start_of_its_id() {
        let id: NodeId = "be51bc88be51bc88be51bc88be51bc88".parse().unwrap();
        let wants = |sender: &str| filter("", sender, "").wants_sender(Some(id), Some("api-1"));
        assert!(wants("api-1") && wants("be51bc88"));
        assert!(!wants("api") && !wants("51bc"));
    }

    #[test]
    fn a_text_is_found_in_upper_or_lower_case() {
        let wants = |text: &str| {
            let data = serde_json::json!({ "name": "Ada" });
            filter("", "", text).wants_data(Some(&data))
        };
        assert!(wants("ada") && wants("\"NAME\":"));
        assert!(!wants("bob"));
    }
}
