//! The nodes of a cluster, as one of them lists them: also those that have no slots or are down.

use crate::error::connect::ConnectError;
use crate::namespace::channel::PubSub;
use crate::transport::address::{Place, address_of};
use crate::transport::cluster::finder::{Finder, cluster};
use crate::transport::cluster::node_line::NodeLine;
use crate::transport::cluster::nodes::{Nodes, place};
use crate::transport::server::NODE_TIMEOUT;
use crate::transport::server::redis_connection::in_time;
use crate::transport::servers::located::{ClusterNode, Located, MAX_SERVERS};

const DOING: &str = "listing the nodes of the cluster";

impl Finder {
    /// Returns the nodes that the first of them lists that answers.
    pub(in crate::transport) async fn locate(&self) -> Result<Vec<Located>, ConnectError> {
        let nodes = self.around().await;
        let mut first = None;
        for node in nodes.usable(self.slot, PubSub::Classic) {
            match in_time(NODE_TIMEOUT, DOING, self.list(&node.at)).await {
                Ok(list) => return Ok(located(&list, &node.at, &nodes)),
                Err(why) => first = first.or(Some(why)),
            }
        }
        Err(first.unwrap_or_else(|| nodes.why_none()))
    }

    async fn list(&self, place: &Place) -> Result<String, ConnectError> {
        let at = address_of(place);
        let mut line = self.server.access.open(&at, None, DOING).await?;
        let asking = line.ask(DOING, async |client| cluster(client, "NODES").await);
        asking.await
    }
}

/// Parses the answer to `CLUSTER NODES`, in the order of the slots. Nodes are reached at the addresses
/// where they have answered.
fn located(list: &str, asked: &Place, nodes: &Nodes) -> Vec<Located> {
    let parsed = list.lines().filter_map(|line| parsed(line, asked));
    let mut located: Vec<_> = parsed.take(MAX_SERVERS).collect();
    let of_master = |id: &str| {
        let master = located.iter().find(|(_, node, _)| node.id == id);
        master.and_then(|(_, node, _)| node.slots.first().copied())
    };
    let orders: Vec<_> = located
        .iter()
        .map(|(_, node, master)| match master {
            Some(master) => (of_master(master), true),
            None => (node.slots.first().copied(), false),
        })
        .map(|(slots, is_replica)| (slots.is_none(), slots, is_replica))
        .collect();
    let mut ordered: Vec<_> = orders.into_iter().zip(located.drain(..)).collect();
    ordered.sort_by_key(|(order, _)| *order);
    let located = ordered.into_iter().map(|(_, (place, node, _))| Located {
        node: Some(node),
        ..Located::server(address_of(&nodes.translated(&place)))
    });
    located.collect()
}

/// Parses a line of `CLUSTER NODES`: the address, the node and the id of its master.
fn parsed(line: &str, asked: &Place) -> Option<(Place, ClusterNode, Option<String>)> {
    let line = NodeLine::parse(line)?;
    if line.has_flag("noaddr") || line.has_flag("handshake") {
        return None;
    }
    let place = place(line.host, line.port, asked);
    let node = ClusterNode {
        id: line.id.to_owned(),
        slots: line.slots,
    };
    Some((place, node, line.master.map(str::to_owned)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_listed_in_the_order_of_slots_with_replicas_after_their_master() {
        let list = "\
            a 10.0.0.1:7001@17001 master - 0 0 1 connected 100-200 300 [5->-b]\n\
            r :7004@17004,host slave a 0 0 1 connected\n\
            b 10.0.0.2:7002@17002 myself,master - 0 0 2 connected 0-99\n\
            e 10.0.0.5:7005@17005 master,fail - 0 0 3 disconnected\n\
            n :0@0 slave,noaddr a 0 0 1 disconnected\n\
            hostile\n";
        let asked = ("10.0.0.9".to_owned(), 7_009);
        let located = located(list, &asked, &Nodes::default());
        let shown: Vec<_> = located.iter().map(Located::shown).collect();
        let expected = [
            "10.0.0.2:7002",
            "10.0.0.1:7001",
            "10.0.0.9:7004",
            "10.0.0.5:7005",
        ];
        assert_eq!(shown, expected);
        let node = located[1].node.clone().unwrap();
        assert_eq!(node.slots, [(100, 200), (300, 300)]);
    }
}
