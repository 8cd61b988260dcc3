//! Checks that a replica can become the master.

use std::time::Duration;

use crate::admin::failover::line::Line;
use crate::admin::failover::prefer;
use crate::admin::failover::report::FailoverError;
use crate::admin::failover::sentinel::{Sentinel, may_demote};
use crate::admin::server::{Server, ServerRole, ServerState, history};
use crate::admin::view::Admin;
use crate::error::report;
use crate::observe::health::TopologyKind;
use crate::transport::servers::Located;

/// The bytes that a replica may be behind: it receives them while writes wait.
const MAX_LAG: u64 = 16 << 20;

/// The silence of a master after which its replica counts as cut off. An idle master sends something
/// every 10 s.
const MAX_SILENCE: Duration = Duration::from_secs(30);

/// A planned failover that is checked and not begun yet, from
/// [`Admin::plan_failover`].
#[derive(Debug)]
#[non_exhaustive]
#[must_use = "it does nothing until it is run"]
pub struct FailoverPlan {
    /// The master.
    pub from: String,
    /// The replica that becomes the master.
    pub to: String,
    /// The bytes that it is behind.
    pub lag_bytes: Option<u64>,
    pub(super) admin: Admin,
    pub(super) master: Located,
    pub(super) replica: Located,
    /// The lowest priority of the other replicas that the sentinels may promote, and that of this one.
    pub(super) priorities: (Option<u64>, u64),
    pub(super) others: Vec<Located>,
    pub(super) sentinels: Vec<Located>,
}

impl FailoverPlan {
    pub(super) fn line(&self, located: &Located) -> Line {
        let access = self.admin.servers.access(located).clone();
        Line::new(located.at.clone(), access)
    }

    /// Returns the sentinels that name the master; `None` in a cluster.
    pub(super) async fn sentinel(&self) -> Result<Option<Sentinel>, FailoverError> {
        let Some(name) = self.admin.servers.master() else {
            return Ok(None);
        };
        let lines = self.sentinels.iter().map(|it| self.line(it)).collect();
        Ok(Some(Sentinel::find(lines, name, &self.master.at).await?))
    }

    /// Checks that the sentinels can only promote replicas whose priority is known, and that the user
    /// may demote the old master.
    async fn check_sentinels(&self, servers: &[Server]) -> Result<(), FailoverError> {
        let Some(sentinel) = self.sentinel().await? else {
            return Ok(());
        };
        let mut replicas = prefer::replicas(&sentinel).await?.into_iter();
        let is_silent = |address: &str| {
            let mut servers = servers.iter();
            servers.any(|server| server.address == address && server.state.is_err())
        };
        if let Some(silent) = replicas.find(|it| it.is_up && is_silent(&it.address)) {
            let silent = silent.address;
            let why = format!(
                "the sentinels may promote {silent} instead, which does not answer this machine"
            );
            let to = self.to.clone();
            return Err(FailoverError::NotReady { to, why });
        }
        may_demote(&self.line(&self.master)).await
    }
}

impl Admin {
    /// Checks that the server at `to`, as [`servers`](Self::servers) names it, can become the master: a
    /// replica that is connected to its master and near it. Nothing is changed before the
    /// [`run`](FailoverPlan::run) of the plan. Needs sentinels or a cluster, and a user with
    /// [`Permissions::administer`](crate::acl::Permissions::administer).
    ///
    /// ```no_run
    /// # use tidings::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
    /// let admin = Bus::builder("redis+sentinel://10.0.0.1,10.0.0.2/mymaster").admin()?;
    /// let plan = admin.plan_failover("10.0.0.8:6379").await?;
    /// println!("{} hands over to {}", plan.from, plan.to);
    /// let report = plan.run(|step, after| println!("{step} {after:?}")).await?;
    /// # let _ = report;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// When the servers cannot be found, and when the server is no replica or not ready.
    pub async fn plan_failover(&self, to: &str) -> Result<FailoverPlan, FailoverError> {
        plan(self, to).await
    }
}

/// Finds the replica, its master and the others.
async fn plan(admin: &Admin, to: &str) -> Result<FailoverPlan, FailoverError> {
    if admin.topology() == TopologyKind::Standalone {
        return Err(FailoverError::Standalone);
    }
    let located = admin.servers.locate().await?;
    let servers = admin.look_at(&located, false).await;
    let place = |server: &Server| {
        let mut located = located.iter();
        located.find(|it| it.shown() == server.address).cloned()
    };
    let not_ready = |why| FailoverError::NotReady {
        to: to.to_owned(),
        why,
    };
    let replica = servers
        .iter()
        .find(|it| it.address == to && !it.is_sentinel);
    let Some((replica, at)) = replica.and_then(|it| Some((it, place(it)?))) else {
        return Err(FailoverError::NoSuchReplica {
            to: to.to_owned(),
            replicas: replicas(&servers),
        });
    };
    let state = replica.state.as_ref();
    let state = state.map_err(|why| not_ready(report(why).to_string()))?;
    check(state, admin.topology()).map_err(not_ready)?;
    let peers = Peers::of(&servers, to, state);
    let Some((master, master_at)) = peers.master.and_then(|it| Some((it, place(it)?))) else {
        return Err(not_ready("its master cannot be reached".to_owned()));
    };
    let replication = state.replication.clone().unwrap_or_default();
    let sentinels = located.iter().filter(|it| it.is_sentinel);
    let plan = FailoverPlan {
        from: master.address.clone(),
        to: to.to_owned(),
        lag_bytes: replication.lag_bytes,
        admin: admin.clone(),
        master: master_at,
        replica: at,
        priorities: (peers.lowest_priority(), replication.priority.unwrap_or(0)),
        others: peers.replicas.iter().filter_map(|it| place(it)).collect(),
        sentinels: sentinels.cloned().collect(),
    };
    plan.check_sentinels(&servers).await?;
    Ok(plan)
}

/// The other servers with the writes of a replica.
struct Peers<'a> {
    master: Option<&'a Server>,
    replicas: Vec<&'a Server>,
}

impl<'a> Peers<'a> {
    fn of(servers: &'a [Server], to: &str, state: &ServerState) -> Self {
        let with_role = |role| {
            let servers = servers.iter().filter(|server| server.address != to);
            servers.filter(move |server| {
                let other = server.state.as_ref();
                other.is_ok_and(|other| other.role == role && history(other) == history(state))
            })
        };
        Self {
            master: with_role(ServerRole::Master).next(),
            replicas: with_role(ServerRole::Replica).collect(),
        }
    }

    /// The lowest priority of those that the sentinels may promote.
    fn lowest_priority(&self) -> Option<u64> {
        let priorities = self.replicas.iter().filter_map(|server| {
            let replication = server.state.as_ref().ok()?.replication.as_ref()?;
            replication.priority
        });
        priorities.filter(|priority| *priority > 0).min()
    }
}

fn replicas(servers: &[Server]) -> String {
    let is_replica = |server: &&Server| {
        server
            .state
            .as_ref()
            .is_ok_and(|state| state.role == ServerRole::Replica)
    };
    let replicas: Vec<_> = servers
        .iter()
        .filter(is_replica)
        .map(|it| it.address.clone())
        .collect();
    if replicas.is_empty() {
        "there is none that answers".to_owned()
    } else {
        replicas.join(", ")
    }
}

/// Checks that a server is a replica that is near its master.
fn check(state: &ServerState, topology: TopologyKind) -> Result<(), String> {
    let Some(replication) = &state.replication else {
        return Err(match state.role {
            ServerRole::Master => "it is a master".to_owned(),
            _ => match state.denied.first() {
                Some(denied) => format!("cannot ask for its state: {}", denied.error),
                None => "it is not a replica".to_owned(),
            },
        });
    };
    if !replication.is_connected {
        return Err(format!(
            "it is not connected to its master {}",
            replication.master
        ));
    }
    if topology == TopologyKind::Sentinel && replication.priority == Some(0) {
        return Err("its `replica-priority` is 0: the sentinels never promote it".to_owned());
    }
    if let Some(silence) = replication.silence.filter(|silence| *silence > MAX_SILENCE) {
        return Err(format!(
            "it has heard nothing from its master for {silence:?}"
        ));
    }
    if let Some(lag) = replication.lag_bytes.filter(|lag| *lag > MAX_LAG) {
        return Err(format!(
            "it is {lag} bytes behind its master, more than {MAX_LAG}"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::server::Replication;

    #[test]
    fn only_a_replica_near_its_master_can_become_the_master() {
        let near = Replication {
            is_connected: true,
            lag_bytes: Some(100),
            silence: Some(Duration::from_secs(9)),
            ..Replication::default()
        };
        let state = |replication| ServerState {
            role: ServerRole::Replica,
            replication,
            ..ServerState::default()
        };
        assert_eq!(
            check(&state(Some(near.clone())), TopologyKind::Cluster),
            Ok(())
        );
        for (replication, words) in [
            (
                Replication {
                    is_connected: false,
                    ..near.clone()
                },
                "not connected",
            ),
            (
                Replication {
                    lag_bytes: Some(MAX_LAG + 1),
                    ..near.clone()
                },
                "behind",
            ),
            (
                Replication {
                    silence: Some(Duration::from_mins(1)),
                    ..near
                },
                "nothing",
            ),
        ] {
            let why = check(&state(Some(replication)), TopologyKind::Sentinel).unwrap_err();
            assert!(why.contains(words), "{why}");
        }
        let master = ServerState {
            role: ServerRole::Master,
            ..ServerState::default()
        };
        assert_eq!(
            check(&master, TopologyKind::Cluster),
            Err("it is a master".to_owned())
        );
    }
}
