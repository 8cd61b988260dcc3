//! The address that a process of a run gets: a URL of one server, or of a cluster.

/// The nodes of a cluster, from the URL that tidings uses:
/// `redis+cluster://host:port,host:port/?pubsub=sharded`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ClusterUrl<'a> {
    nodes: &'a str,
    pub(crate) is_sharded: bool,
}

impl<'a> ClusterUrl<'a> {
    /// Returns `None` for the URL of one server.
    pub(crate) fn parse(url: &'a str) -> Option<Self> {
        let rest = url.strip_prefix("redis+cluster://")?;
        let (nodes, options) = rest.split_once('/').unwrap_or((rest, ""));
        Some(Self {
            nodes,
            is_sharded: options == "?pubsub=sharded",
        })
    }

    /// The nodes, as `host:port`.
    pub(crate) fn nodes(self) -> impl Iterator<Item = &'a str> {
        self.nodes.split(',')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_of_a_cluster_has_nodes_and_the_kind_of_pubsub() {
        let parsed = ClusterUrl::parse("redis+cluster://a:1,b:2/?pubsub=sharded").unwrap();
        assert_eq!(parsed.nodes().collect::<Vec<_>>(), ["a:1", "b:2"]);
        assert!(parsed.is_sharded);
        let classic = ClusterUrl::parse("redis+cluster://a:1,b:2").unwrap();
        assert_eq!(classic.nodes().count(), 2);
        assert!(!classic.is_sharded);
        assert_eq!(ClusterUrl::parse("redis://a:1"), None);
    }
}
