//! The layers of `crates/tidings/src` and their allowed imports, from `layout.toml`.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::Deserialize;

/// The module of `lib.rs`, which may import every layer.
const ROOT: &str = "lib";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rules {
    /// Each layer, and the layers that it may import.
    layers: BTreeMap<String, Vec<String>>,
    /// Layers that every other one may import.
    base: Vec<String>,
}

impl Rules {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        toml::from_str(text).context("cannot read the rules of the layout")
    }

    /// Returns the layer of a file, by its path below `src`.
    ///
    /// # Errors
    ///
    /// If the file is in no folder of a layer.
    pub(crate) fn layer<'a>(&'a self, file: &'a str) -> Result<&'a str> {
        let module = file.strip_suffix(".rs").unwrap_or(file);
        let first = module.split('/').next().unwrap_or(module);
        let is_known = first == ROOT || self.layers.contains_key(first);
        is_known
            .then_some(first)
            .with_context(|| format!("{file} belongs to no layer of layout.toml"))
    }

    /// Returns true if a file of one layer may import a file of another.
    pub(crate) fn allow(&self, from: &str, to: &str) -> bool {
        let may = |layer: &str| {
            self.layers
                .get(layer)
                .is_some_and(|may| may.iter().any(|may| may == to))
        };
        let is_base = |layer: &str| self.base.iter().any(|base| base == layer);
        from == to || from == ROOT || may(from) || (is_base(to) && !is_base(from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
        base = ["error", "event"]
        [layers]
        bus = ["send"]
        send = []
        event = ["error"]
        error = []
    "#;

    #[test]
    fn a_file_belongs_to_the_layer_of_its_folder() {
        let rules = Rules::parse(TEXT).unwrap();
        let files = ["bus.rs", "bus/start.rs", "bus/queue/x.rs", "lib.rs"];
        let layers = files.map(|file| rules.layer(file).unwrap());
        assert_eq!(layers, ["bus", "bus", "bus", "lib"]);
        let error = rules.layer("new.rs").unwrap_err().to_string();
        assert_eq!(error, "new.rs belongs to no layer of layout.toml");
    }

    #[test]
    fn imports_lead_down() {
        let rules = Rules::parse(TEXT).unwrap();
        let allowed = [
            ("bus", "send"),
            ("send", "error"),
            ("event", "error"),
            ("send", "send"),
            ("lib", "bus"),
        ];
        assert!(allowed.iter().all(|(from, to)| rules.allow(from, to)));
        let forbidden = [
            ("send", "bus"),
            ("error", "event"),
            ("error", "bus"),
            ("bus", "lib"),
        ];
        assert!(!forbidden.iter().any(|(from, to)| rules.allow(from, to)));
    }
}
