//! Named texts that a server reports about itself.

use std::collections::BTreeMap;

/// The maximum number of fields that are kept of one answer.
const MAX_FIELDS: usize = 512;

/// The maximum number of characters that are kept of a name and of a value.
const MAX_LENGTH: usize = 512;

/// The facts that a server reports about itself, by name, such as the answer to `INFO`: at most 512
/// fields of 512 characters.
///
/// The texts are the server's: escape them before they reach a terminal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(BTreeMap<String, String>);

impl Fields {
    /// Returns the text of a field.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Returns the number in a field.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.parse().ok()
    }

    /// Returns all fields, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Returns `true` if there is no field: the server was not asked, or the user may not ask it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Parses lines of `name:value`.
    pub(super) fn of_lines(text: &str) -> Self {
        let lines = text
            .lines()
            .filter_map(|line| line.trim_end().split_once(':'));
        lines.collect()
    }
}

impl<N: AsRef<str>, V: AsRef<str>> FromIterator<(N, V)> for Fields {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(fields: I) -> Self {
        let cut = |text: &str| text.chars().take(MAX_LENGTH).collect::<String>();
        let fields = fields.into_iter().take(MAX_FIELDS);
        Self(
            fields
                .map(|(name, value)| (cut(name.as_ref()), cut(value.as_ref())))
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_info_are_parsed() {
        let info = "# Server\r\nredis_version:7.0.15\r\nuptime_in_seconds:7\r\n\r\nexecutable:a:b\r\nx\r\n";
        let fields = Fields::of_lines(info);
        assert_eq!(fields.get("redis_version"), Some("7.0.15"));
        assert_eq!(fields.number("uptime_in_seconds"), Some(7));
        assert_eq!(fields.get("executable"), Some("a:b"));
        assert_eq!(fields.number("redis_version"), None);
        assert_eq!(fields.iter().count(), 3);
    }

    #[test]
    fn a_hostile_answer_is_cut() {
        let long = "é".repeat(10_000);
        let lines: String = (0..10_000)
            .map(|n| format!("f{n}:{long}\n"))
            .take(600)
            .collect();
        let fields = Fields::of_lines(&lines);
        assert_eq!(fields.iter().count(), MAX_FIELDS);
        assert!(
            fields
                .iter()
                .all(|(_, value)| value.chars().count() == MAX_LENGTH)
        );
    }
}
