//! Users with the least permissions, and TLS.

use tidings::acl::Permissions;
use tidings::{Bus, Tls};
use tidings_testkit::{Cluster, Collected, Node};

fn permissions() -> Permissions {
    let all = Permissions::of_bus("default").unwrap().find_nodes();
    all.count().share().be_member().see_backlogs()
}

/// Uses everything that the permissions are for.
async fn is_served(url: &str, tls: Option<Tls>) {
    let builder = || {
        let builder = Bus::builder(url);
        match &tls {
            Some(tls) => builder.tls(tls.clone()),
            None => builder,
        }
    };
    let (one, other) = (Node::start(builder()).await, Node::start(builder()).await);
    let ticks: Collected<u64> = other.collect("tick");
    one.send_to_all("tick", &1).await.unwrap();
    ticks.wait_for_len(1).await;
    assert_eq!(one.counter("visits").unwrap().add(1).await.unwrap(), 1);
    let limit = one.shared::<u64>("limit").unwrap();
    limit.set(&3).await.unwrap();
    let users = one.map::<String, u64>("users").unwrap();
    users.set(&"anna".to_owned(), &7).await.unwrap();
    assert!(!one.members().await.unwrap().is_empty());
}

#[tokio::test]
async fn the_least_permissions_are_enough_on_a_cluster() {
    let rules = format!("shop on >hush-hush {}", permissions());
    let cluster = Cluster::builder()
        .servers(|server| server.user(rules.as_str()))
        .start()
        .await;
    is_served(&cluster.url_as("shop", "hush-hush"), None).await;
    for server in cluster.servers() {
        let denied = server.cli(&["ACL", "LOG"]).await;
        assert_eq!(denied.trim(), "");
    }
}

#[tokio::test]
async fn a_missing_permission_is_named_with_its_rule() {
    let rules = "shop on >hush-hush resetchannels &tidings:{default} -@all +subscribe +publish";
    let cluster = Cluster::builder()
        .servers(|server| server.user(rules))
        .start()
        .await;
    let url = cluster.url_as("shop", "hush-hush");

    let error = Bus::builder(&url).start().await.unwrap_err();

    let text = tidings::report(&error).to_string();
    assert!(text.contains("ACL SETUSER shop '+cluster|slots'"), "{text}");
}

#[tokio::test]
async fn a_cluster_is_used_over_tls() {
    let cluster = Cluster::builder().tls().start().await;
    let first = cluster.servers().next().unwrap();
    let (certificate, key) = first.client_certificate();
    let tls = Tls::new()
        .ca_file(first.ca_file())
        .client_certificate(certificate, key);
    is_served(&cluster.tls_url(), Some(tls)).await;
}
