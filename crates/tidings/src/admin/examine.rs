//! What follows from several answers of a server, beyond its settings.

use crate::admin::answers::Asking;
use crate::admin::server::{ServerRole, ServerState};
use crate::admin::settings::Settings;
use crate::admin::{cluster_nodes, databases, permissions};
use crate::namespace::Namespace;
use crate::transport::servers::{Located, Servers};

/// Adds the view of a node of a cluster, and to the settings what was not a single answer.
pub(super) async fn examine(
    (servers, namespace): (&Servers, &Namespace),
    located: &Located,
    asking: &Asking<'_>,
    state: ServerState,
) -> ServerState {
    let Some(settings) = state.settings.clone() else {
        return state;
    };
    if state.role == ServerRole::Sentinel {
        return state;
    }
    let client = asking.client();
    let nodes: Option<String> = match &located.node {
        Some(_) => asking.words("CLUSTER NODES").await,
        None => None,
    };
    let missing = permissions::missing(&client, namespace).await;
    let has_journal = databases::has_journal(&client, namespace).await;
    // Last, because the connection stays in another database.
    let own = servers.access(located).database();
    let other_databases = databases::others(&client, &state.info, namespace, own).await;
    ServerState {
        nodes: cluster_nodes::parse(&nodes.unwrap_or_default()),
        settings: Some(Settings {
            missing,
            has_journal,
            other_databases,
            ..settings
        }),
        ..state
    }
}
