//! The facts that the checks look at, as plain values.

use std::collections::BTreeMap;
use std::time::Duration;

use tidings::admin::{ClusterNode, Fields, MissingPermissions, ServerRole};
use tidings::{Inspection, Member, NodeId, TopologyKind};

use crate::commands::doctor::command::{line_of, redis_cli};
pub(crate) use crate::contract::Finding as Change;

/// Everything that is known about the servers, the namespace and its members.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) topology: TopologyKind,
    pub(crate) is_tls: bool,
    pub(crate) namespace: String,
    /// The options for the commands of cures, quoted: those that this command was called with.
    pub(crate) options: Vec<String>,
    /// The reason why the servers behind the address are not known.
    pub(crate) unlocated: Option<String>,
    /// The servers, without sentinels.
    pub(crate) servers: Vec<Server>,
    pub(crate) sentinels: Vec<Server>,
    /// The number of hosts in the address.
    pub(crate) hosts: usize,
    pub(crate) bus: Result<Echo, String>,
    pub(crate) fleet: Fleet,
    pub(crate) journal: Option<Result<JournalFacts, String>>,
}

/// A server, and what it said.
#[derive(Debug)]
pub(crate) struct Server {
    /// The host and the port.
    pub(crate) address: String,
    pub(crate) is_tls: bool,
    pub(crate) is_sentinel: bool,
    /// Its answer, or the reason why there is none.
    pub(crate) state: Result<State, String>,
}

/// The answers of a server. What it did not say is missing or empty.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) role: ServerRole,
    pub(crate) round_trip: Duration,
    /// The time of the server minus the time of this machine, in milliseconds.
    pub(crate) clock_offset: Option<i64>,
    /// `INFO`.
    pub(crate) info: Fields,
    /// `CONFIG GET`.
    pub(crate) config: Fields,
    /// `CLUSTER INFO`.
    pub(crate) cluster: Fields,
    /// `CLUSTER NODES`.
    pub(crate) nodes: Vec<ClusterNode>,
    /// `SENTINEL MASTER`.
    pub(crate) master: Fields,
    /// The error of `SENTINEL CKQUORUM`, if it is one.
    pub(crate) quorum_problem: Option<String>,
    /// The user of the connection.
    pub(crate) user: String,
    /// True if the user `default` may log in without a password.
    pub(crate) is_open: Option<bool>,
    /// True if it has a password for its master.
    pub(crate) has_master_password: Option<bool>,
    /// The time for which its certificate is still valid, with TLS.
    pub(crate) certificate_left: Option<Duration>,
    /// The bytes that wait for the slowest subscriber.
    pub(crate) largest_backlog: Option<u64>,
    /// The journal of the namespace, if it is there, or why it cannot be read.
    pub(crate) journal: Option<Result<JournalFacts, String>>,
    /// True if the namespace has a journal there.
    pub(crate) has_journal: Option<bool>,
    /// The other databases that have keys of the namespace.
    pub(crate) databases: Option<Vec<u64>>,
    /// The permissions that the user lacks for a part of the library.
    pub(crate) missing: Option<Vec<MissingPermissions>>,
    /// The commands that the user may not use, with the error.
    pub(crate) denied: BTreeMap<String, String>,
}

/// The result of an event that the bus sent.
#[derive(Debug)]
pub(crate) enum Echo {
    /// It came back after this time.
    Received(Duration),
    /// It was not sent, because of this.
    NotSent(String),
    /// It was not sent, because the members are not known.
    Unknown(String),
    /// It did not come back within this time.
    Missing(Duration),
}

/// The members, and what they say of themselves.
#[derive(Debug, Default)]
pub(crate) struct Fleet {
    pub(crate) members: Option<Result<Vec<Member>, String>>,
    pub(crate) inspections: BTreeMap<NodeId, Inspection>,
    /// The members without an inspection, and the reason.
    pub(crate) without: BTreeMap<NodeId, Silence>,
    pub(crate) waited: Duration,
    pub(crate) contracts: Contracts,
}

/// The contracts that the members run with.
#[derive(Debug, Default)]
pub(crate) struct Contracts {
    /// The names of the members of each one.
    pub(crate) members: Vec<String>,
    /// The number of members that say which contract they have, and of the others.
    pub(crate) known: usize,
    pub(crate) without: usize,
    /// The breaks between two of them.
    pub(crate) breaks: Vec<Change>,
    /// The number of breaks that the project allows.
    pub(crate) allowed: usize,
    /// The reasons why some of them are not compared.
    pub(crate) unknown: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Silence {
    /// It did not answer.
    NoAnswer,
    /// It gives no inspections.
    Disabled,
}

/// The journal of the namespace.
#[derive(Clone, Debug, Default)]
pub(crate) struct JournalFacts {
    pub(crate) bytes: u64,
    pub(crate) names: Vec<DurableFacts>,
}

/// A durable name of the journal.
#[derive(Clone, Debug, Default)]
pub(crate) struct DurableFacts {
    pub(crate) name: String,
    /// The time since its position was stored.
    pub(crate) age: Duration,
    pub(crate) max_age: Duration,
    pub(crate) max_bytes: u64,
    pub(crate) has_reader: bool,
}

/// The reason why a fact is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unseen(pub(crate) String);

impl Facts {
    /// Returns whether the namespace has a journal.
    pub(crate) fn has_journal(&self) -> bool {
        self.journal.is_some() || self.members().iter().any(|member| member.has_journal)
    }

    /// Returns why it is not known whether the namespace has a journal, if it is not.
    pub(crate) fn unseen_journal(&self) -> Option<Unseen> {
        let (_, first) = self.answering().next()?;
        let mut states = self.answering().map(|(_, state)| state);
        let is_known = self.has_journal() || states.any(|state| state.has_journal.is_some());
        (!is_known).then(|| first.unseen("EXISTS"))
    }

    /// Returns whether a process relies on the journal for events that it has not read.
    pub(crate) fn has_durable_names(&self) -> bool {
        let journal = self.journal.as_ref().and_then(|it| it.as_ref().ok());
        journal.is_some_and(|journal| !journal.names.is_empty())
    }

    pub(crate) fn members(&self) -> &[Member] {
        match &self.fleet.members {
            Some(Ok(members)) => members,
            _ => &[],
        }
    }

    /// Returns the command line of a command of tidings at the same address and namespace.
    pub(crate) fn tidings(&self, words: &[&str]) -> String {
        let options = self.options.iter().map(String::as_str);
        with_options(line_of("tidings", &[words]), options)
    }

    /// Returns the command line that checks another address.
    pub(crate) fn doctor_at(&self, url: &str) -> String {
        let options = self.options.iter().map(String::as_str);
        let others = options.filter(|option| !option.starts_with("--url"));
        let doctor = with_options("tidings doctor".to_owned(), others);
        line_of(&doctor, &[&["--url", url]])
    }

    /// Returns the servers that answer, with what they said.
    pub(crate) fn answering(&self) -> impl Iterator<Item = (&Server, &State)> {
        let all = self.servers.iter();
        all.filter_map(|server| Some((server, server.state.as_ref().ok()?)))
    }
}

fn with_options<'a>(line: String, options: impl Iterator<Item = &'a str>) -> String {
    options.fold(line, |line, option| format!("{line} {option}"))
}

impl Server {
    /// Returns the command line that has this server run a command.
    pub(crate) fn cli(&self, words: &[&str]) -> String {
        redis_cli(&self.address, self.is_tls, words)
    }
}

impl State {
    /// Returns a field of `INFO`.
    pub(crate) fn info(&self, name: &str) -> Result<&str, Unseen> {
        self.field(&self.info, name, "INFO")
    }

    /// Returns a setting.
    pub(crate) fn config(&self, name: &str) -> Result<&str, Unseen> {
        self.field(&self.config, name, "CONFIG GET")
    }

    /// Returns a field of `CLUSTER INFO`.
    pub(crate) fn cluster(&self, name: &str) -> Result<&str, Unseen> {
        self.field(&self.cluster, name, "CLUSTER INFO")
    }

    /// Returns a number of `INFO`.
    pub(crate) fn info_number(&self, name: &str) -> Result<u64, Unseen> {
        number(self.info(name)?, name)
    }

    /// Returns a setting that is a number.
    pub(crate) fn config_number(&self, name: &str) -> Result<u64, Unseen> {
        number(self.config(name)?, name)
    }

    /// Returns a fact, or the reason why it is not known.
    pub(crate) fn known<T>(&self, fact: Option<T>, command: &str) -> Result<T, Unseen> {
        fact.ok_or_else(|| self.unseen(command))
    }

    fn field<'a>(&self, fields: &'a Fields, name: &str, command: &str) -> Result<&'a str, Unseen> {
        match fields.get(name) {
            Some(value) => Ok(value),
            None if fields.is_empty() => Err(self.unseen(command)),
            None => Err(Unseen(format!("the server does not say `{name}`"))),
        }
    }

    fn unseen(&self, command: &str) -> Unseen {
        if self.denied.contains_key(command) {
            return Unseen(format!("the user may not use {command}"));
        }
        Unseen(format!("the server does not answer {command}"))
    }
}

fn number(text: &str, name: &str) -> Result<u64, Unseen> {
    let parsed = text.parse();
    parsed.map_err(|_| Unseen(format!("`{name}` is not a number")))
}

#[cfg(test)]
impl Server {
    /// A server that answers.
    pub(crate) fn with(address: &str, state: State) -> Self {
        Self {
            address: address.to_owned(),
            is_tls: true,
            is_sentinel: state.role == ServerRole::Sentinel,
            state: Ok(state),
        }
    }
}

#[cfg(test)]
impl Facts {
    /// The facts about these servers, with TLS, of a bus that could not start.
    pub(crate) fn of(topology: TopologyKind, servers: Vec<Server>) -> Self {
        let (sentinels, servers) = servers.into_iter().partition(|it| it.is_sentinel);
        Self {
            topology,
            is_tls: true,
            namespace: "shop".to_owned(),
            options: vec!["-c production".to_owned()],
            unlocated: None,
            servers,
            sentinels,
            hosts: 1,
            bus: Err(String::new()),
            fleet: Fleet::default(),
            journal: None,
        }
    }
}

/// The fields of an answer.
#[cfg(test)]
pub(crate) fn fields(pairs: &[(&str, &str)]) -> Fields {
    pairs.iter().copied().collect()
}
