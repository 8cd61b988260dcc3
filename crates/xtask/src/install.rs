//! Makes sure that the tests find a Redis of the machine's own kind.

use anyhow::{Result, bail, ensure};
use rustix::process::geteuid;

use crate::tool::{Tool, has, tool};

/// Installs `redis-server` and `redis-cli` where they are missing.
pub(crate) fn ensure_redis() -> Result<()> {
    if has_redis() {
        return Ok(());
    }
    let Some(commands) = commands(has, geteuid().is_root()) else {
        bail!("the tests need `redis-server` and `redis-cli`: install Redis 7 or later");
    };
    for command in commands {
        println!("installing Redis: {command}");
        ensure!(command.run()?.success(), "`{command}` failed");
    }
    ensure!(
        has_redis(),
        "Redis was installed, but `redis-server` and `redis-cli` are not on the PATH \
         (newer Fedora has them in valkey-compat-redis)"
    );
    Ok(())
}

fn has_redis() -> bool {
    has("redis-server") && has("redis-cli")
}

/// What installs Redis here: nothing, if we know no way.
fn commands(has: impl Fn(&'static str) -> bool, is_root: bool) -> Option<Vec<Tool>> {
    let as_root = |name| match (is_root, has("sudo")) {
        (false, true) => tool("sudo").args([name]),
        _ => tool(name),
    };

    if has("apt-get") {
        // Without this, some package may stop and ask a question.
        let apt = || as_root("env").args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]);
        Some(vec![
            apt().args(["update"]),
            apt().args(["install", "-y", "redis-server"]),
        ])
    } else if has("dnf") {
        Some(vec![as_root("dnf").args(["install", "-y", "redis"])])
    } else if has("brew") {
        Some(vec![tool("brew").args(["install", "redis"])])
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(programs: &[&str], is_root: bool) -> Option<Vec<String>> {
        let commands = commands(|name| programs.contains(&name), is_root)?;
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
    fn an_unknown_system_is_left_alone() {
        assert_eq!(typed(&["pacman", "sudo"], false), None);
    }
}
