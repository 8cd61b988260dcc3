//! The settings of a server that decide whether a journal on it lasts.

use redis::InfoDict;

/// The settings of a server, as `INFO` names them; a field that it does not name is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServerSettings {
    /// The limit of its memory, in bytes; 0 is none.
    pub(crate) maxmemory: Option<u64>,
    /// The policy by which it evicts keys at that limit.
    pub(crate) maxmemory_policy: Option<String>,
    /// The memory of its machine, in bytes.
    pub(crate) machine_memory: Option<u64>,
    /// True if it has an append-only file.
    pub(crate) has_append_only_file: Option<bool>,
}

/// The sections of `INFO` that have the settings.
pub(super) const SECTIONS: [&str; 2] = ["memory", "persistence"];

impl ServerSettings {
    /// Reads the sections.
    pub(super) fn parse(sections: &str) -> Self {
        let info = InfoDict::new(sections);
        let aof_enabled = info.get::<String>("aof_enabled");
        Self {
            maxmemory: info.get("maxmemory"),
            maxmemory_policy: info.get("maxmemory_policy"),
            machine_memory: info.get("total_system_memory"),
            has_append_only_file: aof_enabled.map(|value| value != "0"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_and_a_missing_or_strange_one_is_not_known() {
        let info = "# Memory\r\nmaxmemory:1024\r\nmaxmemory_policy:noeviction\r\n\
                    total_system_memory:-5\r\n# Persistence\r\naof_enabled:0\r\nrubbish\r\n";
        let settings = ServerSettings {
            maxmemory: Some(1_024),
            maxmemory_policy: Some("noeviction".to_owned()),
            machine_memory: None,
            has_append_only_file: Some(false),
        };
        assert_eq!(ServerSettings::parse(info), settings);
        assert_eq!(ServerSettings::parse(""), ServerSettings::default());
    }
}
