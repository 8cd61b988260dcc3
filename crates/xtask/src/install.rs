//! Installs what the tests and the benchmark need of the machine: Redis, valgrind, NATS.

use anyhow::{Result, bail, ensure};
use rustix::process::geteuid;

use crate::tool::{Tool, has, tool};

/// What the tests need, and how the systems that we know call it.
#[derive(Debug)]
struct Package {
    name: &'static str,
    programs: &'static [&'static str],
    apt: &'static str,
    dnf: &'static str,
    brew: &'static str,
    /// For systems where that does not help.
    advice: &'static str,
}

const REDIS: Package = Package {
    name: "Redis",
    programs: &["redis-server", "redis-cli"],
    apt: "redis-server",
    dnf: "redis",
    brew: "redis",
    advice: "install Redis 6.2 or later (on newer Fedora, also valkey-compat-redis)",
};

const VALGRIND: Package = Package {
    name: "valgrind",
    programs: &["valgrind"],
    apt: "valgrind",
    dnf: "valgrind",
    brew: "valgrind",
    advice: "install valgrind 3.19 or later",
};

const NATS: Package = Package {
    name: "NATS",
    programs: &["nats-server"],
    apt: "nats-server",
    dnf: "nats-server",
    brew: "nats-server",
    advice: "install nats-server 2.9 or later",
};

/// Installs `redis-server` and `redis-cli` where they are missing.
pub(crate) fn ensure_redis() -> Result<()> {
    REDIS.ensure()
}

/// Installs `valgrind` where it is missing and can be: on Linux.
pub(crate) fn ensure_valgrind() -> Result<()> {
    if cfg!(target_os = "linux") {
        VALGRIND.ensure()?;
    }
    Ok(())
}

/// Installs `nats-server` where it is missing. Only a benchmark needs it: no password is asked for.
pub(crate) fn ensure_nats() -> Result<()> {
    ensure!(
        NATS.is_there() || geteuid().is_root(),
        "nats-server is missing: {}",
        NATS.advice
    );
    NATS.ensure()
}

impl Package {
    fn ensure(&self) -> Result<()> {
        if self.is_there() {
            return Ok(());
        }
        let programs = self.programs.join("` and `");
        let Some(commands) = self.commands(has, geteuid().is_root()) else {
            bail!("`{programs}` is needed: {}", self.advice);
        };
        for command in commands {
            println!("installing {}: {command}", self.name);
            ensure!(command.run()?.success(), "`{command}` failed");
        }
        ensure!(
            self.is_there(),
            "{} was installed, but `{programs}` is not on the PATH: {}",
            self.name,
            self.advice
        );
        Ok(())
    }

    fn is_there(&self) -> bool {
        self.programs.iter().all(|program| has(program))
    }

    /// What installs it here: nothing, if we know no way.
    fn commands(&self, has: impl Fn(&'static str) -> bool, is_root: bool) -> Option<Vec<Tool>> {
        let as_root = |name| match (is_root, has("sudo")) {
            (false, true) => tool("sudo").args([name]),
            _ => tool(name),
        };

        if has("apt-get") {
            // Without this, some package may stop and ask a question.
            let apt = || as_root("env").args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]);
            Some(vec![
                apt().args(["update"]),
                apt().args(["install", "-y", self.apt]),
            ])
        } else if has("dnf") {
            Some(vec![as_root("dnf").args(["install", "-y", self.dnf])])
        } else if has("brew") {
            Some(vec![tool("brew").args(["install", self.brew])])
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(programs: &[&str], is_root: bool) -> Option<Vec<String>> {
        let commands = REDIS.commands(|name| programs.contains(&name), is_root)?;
        Some(commands.iter().map(Tool::to_string).collect())
    }

    #[test]
    fn debian_updates_its_lists_first() {
        assert_eq!(
            typed(&["apt-get"], true).unwrap(),
            [
                "env DEBIAN_FRONTEND=noninteractive apt-get update",
                "env DEBIAN_FRONTEND=noninteractive apt-get install -y redis-server",
            ]
        );
    }

    #[test]
    fn who_is_not_root_asks_sudo() {
        assert_eq!(
            typed(&["dnf", "sudo"], false).unwrap(),
            ["sudo dnf install -y redis"]
        );
        assert_eq!(
            typed(&["dnf", "sudo"], true).unwrap(),
            ["dnf install -y redis"]
        );
    }

    #[test]
    fn homebrew_never_runs_as_root() {
        assert_eq!(
            typed(&["brew", "sudo"], false).unwrap(),
            ["brew install redis"]
        );
    }

    #[test]
    fn valgrind_is_a_package_of_its_own() {
        let commands = VALGRIND.commands(|name| name == "apt-get", true).unwrap();

        assert_eq!(
            commands[1].to_string(),
            "env DEBIAN_FRONTEND=noninteractive apt-get install -y valgrind"
        );
    }

    #[test]
    fn an_unknown_system_is_left_alone() {
        assert_eq!(typed(&["pacman", "sudo"], false), None);
    }
}
