//! The arguments of the commands that show a fleet.

use clap::Parser;

const MEMBERS: &str = "\
Each member is asked whether it receives events, and has 1s for its answer, or what --timeout says.
Exits with code 3 if one did not answer.

Examples:
  tidings members
  tidings members api-1
  tidings members --watch -c production";

/// List the members of the namespace, or show one of them.
#[derive(Debug, Parser)]
#[command(after_help = MEMBERS)]
pub(crate) struct Members {
    /// Name or id of one member, which is shown with its handlers, and its last gaps and failures.
    pub(crate) name: Option<String>,
    /// Show them again each second, until Ctrl-C.
    #[arg(long)]
    pub(crate) watch: bool,
}

const SERVERS: &str = "\
A server behind sentinels or in a cluster is asked at the address at which the others name it, and has
2 s to answer. Exit code 3 says that a server did not answer, a replica is disconnected, or the user
may not see all of the state (`tidings acl --observe` prints the permissions).

Examples:
  tidings servers
  tidings servers -c production --json";

/// Show the Redis servers: role, lag, memory and clients.
#[derive(Debug, Parser)]
#[command(after_help = SERVERS)]
pub(crate) struct Servers {}

const DOCTOR: &str = "\
Looks at the servers, their settings, the namespace and its members, and changes nothing. Each error and
warning is printed with the command that ends it. With -v, the checks that passed are printed, too.

Examples:
  tidings doctor
  tidings doctor -v -c production
  tidings doctor --json --url redis://10.0.0.7";

/// Check the servers, the namespace and its members, and say how to cure what is wrong.
#[derive(Debug, Parser)]
#[command(after_help = DOCTOR)]
pub(crate) struct Doctor {}

const FAILOVER: &str = "\
The writes of the master and the replica wait, events among them, until the replica has all of them
and the subscribers are connected to it. No event is lost. The user needs the permissions that
`tidings acl --administer` prints.

Examples:
  tidings failover --to 10.0.0.8:6379
  tidings failover -c production --to 10.0.0.8:6379 --yes=production";

/// Make a replica the master, without the loss of an event.
#[derive(Debug, Parser)]
#[command(after_help = FAILOVER)]
pub(crate) struct Failover {
    /// The replica, as `tidings servers` names it.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) to: String,
}

const ACL: &str = "\
Without options, the user may send and receive events. The command does not connect to Redis; an
administrator runs what it prints.

Examples:
  tidings acl --user shop --members --share --count
  tidings acl --sentinel --user shop";

/// Print the Redis command that gives a user the permissions of a bus.
#[derive(Debug, Parser)]
#[command(after_help = ACL)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option")]
pub(crate) struct Acl {
    /// Name of the user.
    #[arg(long, value_name = "USER", default_value = "tidings")]
    pub(crate) user: String,
    /// To be a member, and to list the members.
    #[arg(long)]
    pub(crate) members: bool,
    /// Shared values and maps.
    #[arg(long)]
    pub(crate) share: bool,
    /// Counters.
    #[arg(long)]
    pub(crate) count: bool,
    /// A journal.
    #[arg(long)]
    pub(crate) journal: bool,
    /// A journal with a durable name.
    #[arg(long)]
    pub(crate) durable: bool,
    /// A journal that waits for replicas.
    #[arg(long)]
    pub(crate) confirm: bool,
    /// An address of a Redis Cluster.
    #[arg(long)]
    pub(crate) cluster: bool,
    /// An address of a Redis Cluster with `pubsub=sharded`.
    #[arg(long)]
    pub(crate) sharded: bool,
    /// An address with a database number.
    #[arg(long)]
    pub(crate) databases: bool,
    /// To check that the server is the master behind a proxy.
    #[arg(long)]
    pub(crate) role: bool,
    /// To see how far subscribers are behind.
    #[arg(long)]
    pub(crate) backlogs: bool,
    /// To see the state of the servers: `tidings servers`.
    #[arg(long)]
    pub(crate) observe: bool,
    /// To fail over, and to read the settings of the servers. For people.
    #[arg(long)]
    pub(crate) administer: bool,
    /// To log warnings about settings of the server that endanger a journal.
    #[arg(long)]
    pub(crate) settings: bool,
    /// The user of a sentinel instead; it takes none of the other options but --observe and --administer.
    #[arg(long)]
    #[arg(conflicts_with_all = ["members", "share", "count", "journal", "durable", "confirm"])]
    #[arg(conflicts_with_all = ["cluster", "sharded", "databases", "role", "backlogs", "settings"])]
    pub(crate) sentinel: bool,
}
