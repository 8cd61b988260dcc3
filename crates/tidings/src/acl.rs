//! The minimal Redis permissions of a user, as ACL rules for the administrator. They need Redis 6.2
//! or newer: version 6.0 has no rules for channels.
//!
//! ```
//! use tidings::acl::Permissions;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let bus = Permissions::of_bus("shop-staging")?.check_role();
//! assert_eq!(
//!     bus.set_user("shop"),
//!     "ACL SETUSER shop on resetkeys resetchannels '&tidings:{shop-staging}' \
//!      -@all +subscribe +publish +role",
//! );
//! # Ok(())
//! # }
//! ```

use std::fmt;

use tidings_codec::NameError;

use crate::namespace::Namespace;
use crate::namespace::channel::PubSub;

/// The permissions of a user, as narrow as possible.
///
/// [`Display`](fmt::Display) writes the rules alone, for an ACL file;
/// [`set_user`](Self::set_user) returns the command.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "it does nothing by itself"]
pub struct Permissions {
    /// The pattern of the keys, if any are needed.
    keys: Option<String>,
    /// The namespace of the keys, if any may be needed.
    namespace: Option<Namespace>,
    /// As patterns.
    channels: Vec<String>,
    commands: Vec<&'static str>,
}

impl Permissions {
    /// Allows a bus to send and receive all events of a namespace, at an address without a database
    /// number. It allows no keys.
    ///
    /// # Errors
    ///
    /// If the namespace breaks the rules of [`BusBuilder::namespace`](crate::BusBuilder::namespace).
    pub fn of_bus(namespace: &str) -> Result<Self, NameError> {
        let namespace = Namespace::parse(namespace)?;
        Ok(Self::on_channel(namespace.channel(), namespace))
    }

    fn on_channel(channel: String, namespace: Namespace) -> Self {
        Self {
            keys: None,
            namespace: Some(namespace),
            channels: vec![channel],
            commands: vec!["subscribe", "publish"],
        }
    }

    /// All permissions that a bus may need in this database.
    pub(crate) fn of_everything(namespace: &Namespace, database: i64) -> Self {
        let channel = namespace.channel_in(database);
        let all = Self::on_channel(channel, namespace.clone());
        let all = all.count().share().be_member();
        if database == 0 {
            all
        } else {
            all.and("select")
        }
    }

    /// All permissions that a bus may need on a Redis Cluster.
    pub(crate) fn of_cluster(namespace: &Namespace, pubsub: PubSub) -> Self {
        let all = Self::of_everything(namespace, 0).find_nodes();
        match pubsub {
            PubSub::Classic => all,
            PubSub::Sharded => all.shard(),
        }
    }

    /// Also allows to find the nodes of a Redis Cluster, and the keys while their slot moves. A bus
    /// whose address begins with `redis+cluster:` needs it. It reveals the addresses of all nodes.
    ///
    /// ```
    /// # use tidings::acl::Permissions;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// assert_eq!(
    ///     Permissions::of_bus("shop")?.find_nodes().to_string(),
    ///     "resetkeys resetchannels &tidings:{shop} -@all +subscribe +publish \
    ///      +cluster|slots +cluster|myid +cluster|info +asking",
    /// );
    /// # Ok(())
    /// # }
    /// ```
    pub fn find_nodes(self) -> Self {
        let all = self.and("cluster|slots").and("cluster|myid");
        all.and("cluster|info").and("asking")
    }

    /// Allows sharded pub/sub instead of classic: for an address with the option `pubsub=sharded`.
    ///
    /// ```
    /// # use tidings::acl::Permissions;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// assert_eq!(
    ///     Permissions::of_bus("shop")?.find_nodes().shard().to_string(),
    ///     "resetkeys resetchannels &tidings:{shop} -@all +ssubscribe +spublish \
    ///      +cluster|slots +cluster|myid +cluster|info +asking",
    /// );
    /// # Ok(())
    /// # }
    /// ```
    pub fn shard(mut self) -> Self {
        for command in &mut self.commands {
            match *command {
                "subscribe" => *command = "ssubscribe",
                "publish" => *command = "spublish",
                _ => {}
            }
        }
        self
    }

    /// Allows to ask a sentinel for the master and the other sentinels, and to subscribe to its
    /// notifications of a new master. Sentinels have users of their own.
    ///
    /// ```
    /// # use tidings::acl::Permissions;
    /// assert_eq!(
    ///     Permissions::of_sentinel().to_string(),
    ///     "resetkeys resetchannels &+switch-master -@all +subscribe \
    ///      +sentinel|get-master-addr-by-name +sentinel|master +sentinel|sentinels",
    /// );
    /// ```
    pub fn of_sentinel() -> Self {
        Self {
            keys: None,
            namespace: None,
            channels: vec!["+switch-master".to_owned()],
            commands: vec![
                "subscribe",
                "sentinel|get-master-addr-by-name",
                "sentinel|master",
                "sentinel|sentinels",
            ],
        }
    }

    /// Also allows addresses with a database number: each database has a channel of its own.
    ///
    /// ```
    /// # use tidings::acl::Permissions;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// assert_eq!(
    ///     Permissions::of_bus("shop")?.select_database().to_string(),
    ///     "resetkeys resetchannels &tidings:{shop} &tidings:{shop}/* \
    ///      -@all +subscribe +publish +select",
    /// );
    /// # Ok(())
    /// # }
    /// ```
    pub fn select_database(mut self) -> Self {
        let channels = self
            .namespace
            .as_ref()
            .map(Namespace::channels_in_databases);
        self.channels.extend(channels);
        self.channels.dedup();
        self.and("select")
    }

    /// Also allows to check that the server is the master if `HELLO` does not report it, as behind
    /// some proxies. Without this, a replica is not detected there, and the bus logs a warning.
    pub fn check_role(self) -> Self {
        self.and("role")
    }

    /// Also allows to see how far subscribers are behind. Without this, only its own echo slows a
    /// fast sender down. It reveals the addresses and names of all clients of the server.
    pub fn see_backlogs(self) -> Self {
        self.and("client|list")
    }

    /// Also allows [counters](crate::Bus::counter).
    pub fn count(self) -> Self {
        self.with_keys("incrby get evalsha script|load set")
    }

    /// Also allows [shared values](crate::Bus::shared) and [maps](crate::Bus::map).
    ///
    /// ```
    /// # use tidings::acl::Permissions;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// assert_eq!(
    ///     Permissions::of_bus("shop")?.share().to_string(),
    ///     "resetkeys ~tidings:{shop}:* resetchannels &tidings:{shop} -@all +subscribe +publish \
    ///      +evalsha +script|load +hmget +hset +hincrby +pexpire +persist +del \
    ///      +hget +hdel +hlen +hrandfield +hscan +time",
    /// );
    /// # Ok(())
    /// # }
    /// ```
    pub fn share(self) -> Self {
        self.with_keys(
            "evalsha script|load hmget hset hincrby pexpire persist del hget hdel hlen \
             hrandfield hscan time",
        )
    }

    /// Also allows a [journal](crate::Journal).
    ///
    /// ```
    /// # use tidings::acl::Permissions;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// assert_eq!(
    ///     Permissions::of_bus("shop")?.journal().to_string(),
    ///     "resetkeys ~tidings:{shop}:* resetchannels &tidings:{shop} -@all +subscribe +publish \
    ///      +xadd +xread +xrange +xrevrange +xtrim +xlen +get +set +del +watch +unwatch +multi +exec \
    ///      +role +time +memory|usage +hgetall",
    /// );
    /// # Ok(())
    /// # }
    /// ```
    pub fn journal(self) -> Self {
        self.with_keys(
            "xadd xread xrange xrevrange xtrim xlen get set del watch unwatch multi exec role \
             time memory|usage hgetall",
        )
    }

    /// Also allows to look at the servers, with [`Admin::servers`](crate::admin::Admin::servers): their
    /// state, how far replicas and subscribers are behind, and the number of keys of the namespace. It
    /// reveals the state of the whole server, and the names of all keys and clients. Of a sentinel, it
    /// allows to see the master, the replicas and the other sentinels.
    ///
    /// ```
    /// # use tidings::acl::Permissions;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// assert_eq!(
    ///     Permissions::of_bus("shop")?.observe().to_string(),
    ///     "resetkeys resetchannels &tidings:{shop} -@all +subscribe +publish \
    ///      +info +time +client|list +scan \
    ///      +cluster|slots +cluster|myid +cluster|info +cluster|nodes +cluster|getkeysinslot",
    /// );
    /// # Ok(())
    /// # }
    /// ```
    pub fn observe(self) -> Self {
        let commands = match self.namespace {
            Some(_) => {
                "info time client|list scan cluster|slots cluster|myid cluster|info \
                 cluster|nodes cluster|getkeysinslot"
            }
            None => "info ping sentinel|replicas sentinel|ckquorum",
        };
        self.and_all(commands)
    }

    /// Also allows to read the settings of the servers, with
    /// [`Admin::servers_with_settings`](crate::admin::Admin::servers_with_settings), and planned
    /// failovers, with [`Admin::plan_failover`](crate::admin::Admin::plan_failover). Includes
    /// [`observe`](Self::observe). It is for people: such a user can stop all writes, change any setting
    /// and read the passwords of the server.
    ///
    /// ```
    /// # use tidings::acl::Permissions;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let rules = Permissions::of_bus("shop")?.administer().to_string();
    /// assert!(rules.ends_with(
    ///     " +config|get +config|set +acl|whoami +acl|getuser +client|pause +client|unpause \
    ///      +client|kill +pubsub|numsub +pubsub|shardnumsub +replicaof +cluster|failover \
    ///      +exists +select",
    /// ));
    /// # Ok(())
    /// # }
    /// ```
    pub fn administer(self) -> Self {
        let all = self.observe();
        match all.namespace {
            // The last two are for the question which databases have the namespace.
            Some(_) => all.with_keys(
                "config|get config|set acl|whoami acl|getuser client|pause client|unpause \
                 client|kill pubsub|numsub pubsub|shardnumsub replicaof cluster|failover \
                 exists select",
            ),
            None => all.and("sentinel|failover"),
        }
    }

    /// Also allows a bus with a journal to read the memory limit, the eviction policy and the
    /// persistence of the server, and to log a warning if they endanger the journal. Without
    /// this, it only warns of a `max_bytes` that is too large for a Redis Cluster. It reveals the state
    /// of the whole server.
    ///
    /// ```
    /// # use tidings::acl::Permissions;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let command = Permissions::of_bus("shop")?.journal().see_settings().set_user("shop");
    /// assert!(command.ends_with(" +info"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn see_settings(self) -> Self {
        self.and("info")
    }

    /// Also allows a journal whose sends wait for replicas, as
    /// [`Journal::confirm`](crate::Journal::confirm) asks for.
    pub fn confirm(self) -> Self {
        self.journal().and("wait")
    }

    /// Also allows a journal with a [durable name](crate::Journal::durable).
    pub fn durable(self) -> Self {
        self.journal()
            .with_keys("hget hset hdel evalsha script|load")
    }

    /// Also allows to be a [member](crate::Bus::members) and to list the others. Without this, the
    /// bus logs a warning at its start, and is not in the member list. Turn off
    /// [`membership`](crate::BusBuilder::membership) if that is intended.
    pub fn be_member(self) -> Self {
        self.with_keys(
            "evalsha script|load time zscore zadd zcard zrange zrangebyscore zrem hget \
             hmget hset hdel pttl pexpire",
        )
    }

    /// Adds commands on the keys of the namespace.
    fn with_keys(self, commands: &'static str) -> Self {
        let prefix = self.namespace.as_ref().map(Namespace::channel);
        let keys = prefix.map(|prefix| format!("{prefix}:*"));
        Self { keys, ..self }.and_all(commands)
    }

    fn and_all(self, commands: &'static str) -> Self {
        commands.split(' ').fold(self, Self::and)
    }

    fn and(mut self, command: &'static str) -> Self {
        if !self.commands.contains(&command) {
            self.commands.push(command);
        }
        self
    }

    /// Returns the command that gives a user these permissions and removes all others, quoted for a
    /// shell. Passwords stay as they are: a new user has none, and cannot log in before it gets one,
    /// for example with `ACL SETUSER shop '>the password'`. The selectors of Redis 7 stay too:
    /// `ACL SETUSER shop clearselectors` removes them.
    ///
    /// ```
    /// # use tidings::acl::Permissions;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let command = Permissions::of_bus("shop")?.set_user("o'brien");
    /// assert!(command.starts_with(r"ACL SETUSER 'o'\''brien' on resetkeys"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_user(&self, user: &str) -> String {
        let rules = words(self.rules().as_slice());
        format!("ACL SETUSER {} on {rules}", quoted(user))
    }

    fn rules(&self) -> Vec<String> {
        let commands = self.commands.iter().map(|command| format!("+{command}"));
        let mut rules = vec!["resetkeys".to_owned()];
        rules.extend(self.keys_rule());
        rules.push("resetchannels".to_owned());
        rules.extend(self.channel_rules());
        rules.push("-@all".to_owned());
        rules.extend(commands);
        rules
    }

    fn channel_rules(&self) -> Vec<String> {
        let rules = self.channels.iter().map(|channel| format!("&{channel}"));
        rules.collect()
    }

    fn keys_rule(&self) -> Option<String> {
        self.keys.as_ref().map(|keys| format!("~{keys}"))
    }

    /// The allowed commands, in the form of rules without the plus.
    #[cfg(feature = "admin")]
    pub(crate) fn commands(&self) -> &[&'static str] {
        &self.commands
    }

    /// The rules that a denial of Redis asks for: all rules if it does not name one.
    fn missing(&self, denial: &str) -> Vec<String> {
        if let Some(command) = denied_command(denial) {
            return vec![format!("+{command}")];
        }
        if denial.contains("channel") {
            return self.channel_rules();
        }
        if denial.contains("key") {
            return self.keys_rule().into_iter().collect();
        }
        let commands = self.commands.iter().map(|command| format!("+{command}"));
        let rules = self.keys_rule().into_iter().chain(self.channel_rules());
        rules.chain(commands).collect()
    }

    /// The rules that several denials ask for, each once.
    pub(crate) fn missing_of_all<'a>(
        &self,
        denials: impl IntoIterator<Item = &'a str>,
    ) -> Vec<String> {
        let mut rules = Vec::new();
        for rule in denials.into_iter().flat_map(|denial| self.missing(denial)) {
            if !rules.contains(&rule) {
                rules.push(rule);
            }
        }
        rules
    }
}

impl fmt::Display for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rules().join(" "))
    }
}

/// Returns the command in `… no permissions to run the 'client|list' command …`, as Redis writes it
/// since version 6.
fn denied_command(denial: &str) -> Option<&str> {
    let (before, _) = denial.split_once("' command")?;
    let (_, command) = before.rsplit_once('\'')?;
    Some(command)
}

/// A user with the permissions that it needs.
#[derive(Debug)]
pub(crate) struct Needs {
    pub(crate) user: String,
    pub(crate) permissions: Permissions,
}

impl Needs {
    /// Returns the hint for a denial. Its command removes no permissions.
    pub(crate) fn cure(&self, denial: &str) -> String {
        self.cure_all([denial])
    }

    /// Returns the words of a denial, with the hint.
    pub(crate) fn denial(&self, words: &str) -> String {
        format!("{words} ({})", self.cure(words))
    }

    /// Returns the hint for several denials.
    pub(crate) fn cure_all<'a>(&self, denials: impl IntoIterator<Item = &'a str>) -> String {
        let rules = words(&self.permissions.missing_of_all(denials));
        let user = quoted(&self.user);
        format!("an administrator can grant it: ACL SETUSER {user} {rules}")
    }
}

fn words(rules: &[String]) -> String {
    let quoted: Vec<String> = rules.iter().map(|rule| quoted(rule)).collect();
    quoted.join(" ")
}

/// Quotes a word for a shell, if needed.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "+-@._:".contains(c);
    if word.chars().all(is_plain) {
        word.to_owned()
    } else {
        // There is no escape within single quotes: they are closed and opened again.
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hint_for_a_denial_has_the_missing_rules() {
        let shop = Namespace::parse("shop").unwrap();
        let permissions = Permissions::on_channel(shop.channel_in(0), shop)
            .count()
            .and("select");
        for (denial, missing) in [
            (
                "NOPERM this user has no permissions to run the 'publish' command",
                "+publish",
            ),
            (
                "NOPERM this user has no permissions to run the 'subscribe' command or its subcommand",
                "+subscribe",
            ),
            (
                "NOPERM User channel has no permissions to run the 'client|list' command",
                "'+client|list'",
            ),
            (
                "NOPERM this user has no permissions to access one of the channels used as arguments",
                "'&tidings:{shop}'",
            ),
            (
                "NOPERM No permissions to access a channel",
                "'&tidings:{shop}'",
            ),
            (
                "NOPERM this user has no permissions to access one of the keys used as arguments",
                "'~tidings:{shop}:*'",
            ),
            (
                "NOPERM No permissions to access a key",
                "'~tidings:{shop}:*'",
            ),
            (
                "NOPERM in other words",
                "'~tidings:{shop}:*' '&tidings:{shop}' +subscribe +publish +incrby +get +evalsha \
                 '+script|load' +set +select",
            ),
        ] {
            let user = "shop".to_owned();
            let permissions = permissions.clone();
            let cure = Needs { user, permissions }.cure(denial);
            let expected = format!("an administrator can grant it: ACL SETUSER shop {missing}");
            assert_eq!(cure, expected, "{denial}");
        }
    }

    #[test]
    fn a_namespace_that_would_grant_more_is_rejected() {
        for hostile in ["*", "a b", "a} +@all", "a\n", ""] {
            assert!(Permissions::of_bus(hostile).is_err(), "{hostile:?}");
        }
    }
}
