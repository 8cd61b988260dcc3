//! The nodes of a cluster, as one of them sees the others.

use crate::transport::address::shown;
use crate::transport::servers::NodeLine;

/// A node of a cluster, as another one sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClusterNode {
    /// Its id.
    pub id: String,
    /// Its host and port.
    pub address: String,
    /// Its flags, such as `master`, `myself` or `fail`.
    pub flags: Vec<String>,
    /// The id of the master of a replica.
    pub master: Option<String>,
    /// True if it has slots.
    pub has_slots: bool,
}

/// Parses the answer to `CLUSTER NODES`. Lines that are not understood are left out.
pub(super) fn parse(answer: &str) -> Vec<ClusterNode> {
    answer.lines().filter_map(node).collect()
}

fn node(line: &str) -> Option<ClusterNode> {
    let line = NodeLine::parse(line)?;
    Some(ClusterNode {
        id: line.id.to_owned(),
        address: shown(&(line.host.to_owned(), line.port)),
        flags: line.flags.split(',').map(str::to_owned).collect(),
        master: line.master.map(str::to_owned),
        has_slots: !line.slots.is_empty(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nodes_are_read_in_the_forms_of_all_versions() {
        let answer = "a1 10.0.0.7:6379@16379 myself,master - 0 0 1 connected 0-5460 [5461->-b2]\n\
                      b2 10.0.0.8:6379@16379,host master,fail? - 0 0 2 disconnected 5461-16383\n\
                      c3 :0@0 slave,noaddr a1 0 0 1 disconnected\n\
                      nonsense\n";
        let nodes = parse(answer);
        assert_eq!(nodes.len(), 3);
        assert!(nodes[0].has_slots && nodes[0].master.is_none());
        assert_eq!(nodes[1].address, "10.0.0.8:6379");
        assert_eq!(nodes[1].flags, ["master", "fail?"]);
        assert_eq!(nodes[2].master.as_deref(), Some("a1"));
        assert!(!nodes[2].has_slots);
    }
}
