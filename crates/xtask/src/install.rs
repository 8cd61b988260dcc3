//! Installs the programs that the tests need.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use anyhow::{Context as _, Result, ensure};

use crate::tool::{Tool, cargo, has, repository, tool};

/// The folder of programs that cargo installs.
const TOOLS: &str = "target/tools";

/// A package of Debian and Ubuntu.
#[derive(Debug)]
pub(crate) struct Package {
    name: &'static str,
    programs: &'static [&'static str],
    /// The installation on other systems.
    advice: &'static str,
}

pub(crate) const REDIS: Package = Package {
    name: "redis-server",
    programs: &["redis-server", "redis-cli"],
    advice: "install Redis 7 or later",
};

pub(crate) const CURL: Package = Package {
    name: "curl",
    programs: &["curl"],
    advice: "install curl",
};

pub(crate) const CHROMIUM: Package = Package {
    name: "chromium",
    programs: &["chromium"],
    advice: "install Chromium under this name",
};

pub(crate) const CHROMEDRIVER: Package = Package {
    name: "chromium-driver",
    programs: &["chromedriver"],
    advice: "install the driver of the same version as Chromium",
};

pub(crate) const NPM: Package = Package {
    name: "npm",
    programs: &["npm"],
    advice: "install npm 7 or later",
};

pub(crate) const VALGRIND: Package = Package {
    name: "valgrind",
    programs: &["valgrind"],
    advice: "install valgrind 3.19 or later",
};

impl Package {
    /// Installs the package if one of its programs is missing.
    pub(crate) fn ensure(&self) -> Result<()> {
        if self.is_installed() {
            return Ok(());
        }
        let programs = self.programs.join("` and `");
        let missing = || format!("`{programs}` is not on the PATH: {}", self.advice);
        ensure!(has("apt-get"), missing());
        let is_root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
        for apt in [&["update"][..], &["install", "-y", self.name]] {
            let command = apt_get(is_root).args(apt.iter().copied());
            println!("installing {}: {command}", self.name);
            command.succeed().with_context(missing)?;
        }
        ensure!(self.is_installed(), missing());
        Ok(())
    }

    fn is_installed(&self) -> bool {
        self.programs.iter().all(|program| has(program))
    }
}

/// A program from crates.io, in one version.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) package: &'static str,
    pub(crate) version: &'static str,
    pub(crate) features: &'static [&'static str],
}

impl Program {
    /// Returns the program from the PATH, or from cargo if the PATH has none of this version.
    pub(crate) fn ensure(&self) -> Result<Tool> {
        let on_path = tool(self.package);
        if self.is_version_of(&on_path) {
            return Ok(on_path);
        }
        let path = repository().join(TOOLS).join("bin").join(self.package);
        let installed = tool(self.package).at(path);
        if !self.is_version_of(&installed) {
            // Optimized, mdBook alone takes three minutes of processor time to compile.
            let install = cargo("install").args([self.package, "--debug", "--locked"]);
            let version = format!("={}", self.version);
            let install = install.args(["--root", TOOLS, "--version", &version]);
            let install = install.args(self.features.iter().copied());
            println!("installing {}: {install}", self.package);
            install.succeed()?;
        }
        Ok(installed)
    }

    fn is_version_of(&self, tool: &Tool) -> bool {
        let printed = tool.clone().args(["--version"]).printed();
        let version = printed.unwrap_or_default();
        let version = version.split_whitespace().last();
        version.is_some_and(|version| version.trim_start_matches('v') == self.version)
    }
}

fn apt_get(is_root: bool) -> Tool {
    // Without this variable, a package may stop and ask a question.
    let arguments = ["DEBIAN_FRONTEND=noninteractive", "apt-get"];
    if is_root {
        tool("env").args(arguments)
    } else {
        tool("sudo").args(["env"]).args(arguments)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_root_installs_without_sudo() {
        let apt_get = |is_root| apt_get(is_root).to_string();

        assert_eq!(apt_get(true), "env DEBIAN_FRONTEND=noninteractive apt-get");
        assert_eq!(
            apt_get(false),
            "sudo env DEBIAN_FRONTEND=noninteractive apt-get"
        );
    }
}
