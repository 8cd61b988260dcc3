//! The nodes of a cluster that have the same slots.

use crate::admin::failover::line::Line;
use crate::transport::servers::NodeLine;

/// Returns true if each of the nodes knows that the others are replicas of this master. A node passes
/// the messages of a sharded channel on to those that it knows.
pub(super) async fn is_known(nodes: &[&Line], master: &str) -> bool {
    for node in nodes {
        let list = node.words::<String>("CLUSTER NODES").await;
        let replicas = list.map_or(0, |list| replicas_of(&list, master));
        if replicas + 1 < nodes.len() {
            return false;
        }
    }
    true
}

/// Counts the replicas of a master in the answer to `CLUSTER NODES`.
fn replicas_of(list: &str, master: &str) -> usize {
    let nodes = list.lines().filter_map(NodeLine::parse);
    nodes.filter(|node| node.master == Some(master)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_replicas_of_a_master_are_counted() {
        let list = "\
            a 10.0.0.1:7001@17001 master - 0 0 1 connected 0-99\n\
            b 10.0.0.1:7002@17002 myself,slave a 0 0 1 connected\n\
            c 10.0.0.1:7003@17003 slave a 0 0 1 connected\n\
            d 10.0.0.1:7004@17004 slave e 0 0 1 connected\n\
            hostile\n";
        assert_eq!(replicas_of(list, "a"), 2);
        assert_eq!(replicas_of(list, "b"), 0);
    }
}
