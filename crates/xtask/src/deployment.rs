//! Checks the Dockerfiles of the repository, and the systemd units of the book.

use std::fs;

use anyhow::{Context as _, Result, ensure};

use crate::compose::is_pinned;
use crate::tool::{has, repository, target, tool};

const DOCKERFILES: [&str; 2] = [
    "docs/src/programs/Dockerfile",
    "examples/save-search/Dockerfile",
];

const UNITS: [&str; 3] = ["shop.socket", "shop.service", "web.service"];

/// What the units start. `systemd-analyze` looks for it on this machine.
const PROGRAMS: [&str; 2] = ["/usr/local/bin/shop", "/usr/local/bin/tidings"];

pub(crate) fn look() -> Result<()> {
    let mut problems = Vec::new();
    for path in DOCKERFILES {
        let text = fs::read_to_string(repository().join(path)).context(path)?;
        problems.extend(
            problems_of(&text)
                .into_iter()
                .map(|it| format!("{path}: {it}")),
        );
    }
    if has("systemd-analyze") {
        let read = |name: &&'static str| {
            let path = repository().join("docs/src/programs").join(name);
            Ok((*name, fs::read_to_string(path).context(*name)?))
        };
        problems.extend(verify(
            &UNITS.iter().map(read).collect::<Result<Vec<_>>>()?,
        )?);
    } else {
        println!("the units are not checked: apt-get install systemd");
    }
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    Ok(())
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
    let user = of("USER").last().map(|user| user.split(':').next());
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
    Ok(check.printed()?.lines().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_the_book_are_valid() {
        look().unwrap();
    }

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
        ] {
            assert_eq!(problems_of(&good.replace(right, wrong)), [problem]);
        }
    }

    #[test]
    fn systemd_finds_a_wrong_setting() {
        if has("systemd-analyze") {
            let unit = "[Service]\nExecStart=/usr/local/bin/shop\nKilMode=mixed\n";
            let found = verify(&[("wrong.service", unit.to_owned())]).unwrap();
            assert!(found.iter().any(|it| it.contains("KilMode")), "{found:?}");
        }
    }
}
