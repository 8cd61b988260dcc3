//! Checks the Dockerfiles of the repository, and the systemd units of the book.

use std::fs;

use anyhow::{Context as _, Result, ensure};

use crate::compose::is_pinned;
use crate::steps::Step;
use crate::tool::{has, repository, target, tool};

const DOCKERFILES: [&str; 2] = [
    "docs/src/programs/Dockerfile",
    "examples/save-search/Dockerfile",
];

const UNITS: [&str; 3] = ["shop.socket", "shop.service", "web.service"];

/// The programs that the units start. `systemd-analyze` looks for it on this machine.
const PROGRAMS: [&str; 2] = ["/usr/local/bin/shop", "/usr/local/bin/tidings"];

pub(crate) fn steps() -> Vec<Step> {
    let units = "deployment units";
    vec![
        Step::look("deployment files", look_at_dockerfiles),
        if has("systemd-analyze") {
            Step::look(units, look_at_units)
        } else {
            Step::skipped(units, "to run it: apt-get install systemd")
        },
    ]
}

fn look_at_dockerfiles() -> Result<()> {
    let mut problems = Vec::new();
    for path in DOCKERFILES {
        let text = fs::read_to_string(repository().join(path)).context(path)?;
        problems.extend(
            problems_of(&text)
                .into_iter()
                .map(|it| format!("{path}: {it}")),
        );
    }
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    Ok(())
}

fn look_at_units() -> Result<()> {
    let read = |name: &&'static str| {
        let path = repository().join("docs/src/programs").join(name);
        Ok((*name, fs::read_to_string(path).context(*name)?))
    };
    let units = UNITS.iter().map(read).collect::<Result<Vec<_>>>()?;
    let services = units.iter().filter(|(name, _)| name.ends_with(".service"));
    let problems = services.filter_map(|(name, unit)| {
        let problem = address_problem(unit)?;
        Some(format!("{name}: {problem}"))
    });
    let problems: Vec<_> = problems.chain(verify(&units)?).collect();
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    Ok(())
}

/// Returns what is wrong with the address of Redis in a unit. Without one, a program would use a
/// Redis of its own machine; and it rejects a user without a password.
fn address_problem(unit: &str) -> Option<&'static str> {
    let value = |name: &str| {
        let mut lines = unit.lines();
        lines.find_map(|line| line.strip_prefix("Environment=")?.strip_prefix(name))
    };
    let Some(address) = value("TIDINGS_URL=") else {
        return Some("it has no TIDINGS_URL");
    };
    let lacks_password = address.contains('@') && value("TIDINGS_PASSWORD_FILE=").is_none();
    lacks_password.then_some("its user of Redis has no TIDINGS_PASSWORD_FILE")
}

/// Returns what is wrong with a Dockerfile.
fn problems_of(text: &str) -> Vec<String> {
    let text = text.replace("\\\n", " ");
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let steps: Vec<_> = lines.filter_map(|line| line.split_once(' ')).collect();
    let of = |name: &str| -> Vec<&str> {
        let steps = steps.iter().filter(|(step, _)| *step == name);
        steps.map(|(_, words)| words.trim()).collect()
    };
    let mut problems = Vec::new();
    let known = ["FROM", "WORKDIR", "COPY", "RUN", "USER", "ENV", "CMD"];
    let unknown = steps.iter().filter(|(step, _)| !known.contains(step));
    problems.extend(unknown.map(|(step, _)| format!("`{step}` is no step")));
    let images = of("FROM");
    let images = images.iter().filter_map(|it| it.split_whitespace().next());
    let loose = images.filter(|image| !is_pinned(image));
    problems.extend(loose.map(|image| format!("`{image}` has no exact version")));
    // A shell would be process 1 in place of the program, and would not pass SIGTERM on.
    if !matches!(of("CMD")[..], [command] if command.starts_with('[') && command.ends_with(']')) {
        problems.push("it has no single CMD in the form of a list".to_owned());
    }
    // Each stage begins as root, or with the user of its image.
    let last_stage = steps.iter().rev().take_while(|(step, _)| *step != "FROM");
    let user = last_stage.filter(|(step, _)| *step == "USER");
    let user = user.map(|(_, user)| user.trim().split(':').next()).next();
    if matches!(user.flatten(), None | Some("root" | "0")) {
        problems.push("its program runs as root".to_owned());
    }
    problems
}

/// Returns what systemd says of units.
fn verify(units: &[(&str, String)]) -> Result<Vec<String>> {
    let folder = target().join("units");
    fs::create_dir_all(&folder)?;
    let mut check = tool("systemd-analyze").args(["verify", "--man=no"]);
    for (name, unit) in units {
        let programs = PROGRAMS.iter();
        let unit = programs.fold(unit.clone(), |unit, it| unit.replace(it, "/bin/true"));
        fs::write(folder.join(name), unit)?;
        check = check.args([folder.join(name).display().to_string()]);
    }
    let (status, printed) = check.captured()?;
    let mut problems: Vec<_> = printed.lines().map(str::to_owned).collect();
    if problems.is_empty() && !status.success() {
        problems.push(format!("`{check}` ended with {status}"));
    }
    Ok(problems)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_problem_of_a_dockerfile_is_found() {
        let good =
            "# An image.\nFROM debian:12.11-slim\nRUN a \\\n    && b\nUSER 1:1\nCMD [\"shop\"]\n";
        assert_eq!(problems_of(good), [""; 0]);
        for (right, wrong, problem) in [
            (
                "debian:12.11-slim",
                "debian:latest",
                "`debian:latest` has no exact version",
            ),
            ("RUN", "RAN", "`RAN` is no step"),
            (
                "[\"shop\"]",
                "shop",
                "it has no single CMD in the form of a list",
            ),
            ("USER 1:1", "USER 0:1", "its program runs as root"),
            ("USER 1:1", "", "its program runs as root"),
            (
                "USER 1:1",
                "USER 1:1\nFROM debian:12.11-slim",
                "its program runs as root",
            ),
        ] {
            assert_eq!(problems_of(&good.replace(right, wrong)), [problem]);
        }
    }

    #[test]
    fn an_address_that_the_program_would_reject_is_found() {
        let user = "Environment=TIDINGS_URL=redis://shop@10.0.0.7\n";
        let file = "Environment=TIDINGS_PASSWORD_FILE=/etc/redis\n";
        assert_eq!(address_problem(&format!("{user}{file}")), None);
        assert!(address_problem(user).is_some());
        assert!(address_problem(file).is_some());
    }
}
