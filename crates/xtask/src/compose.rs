//! Checks the compose file of the Redis Cluster without Docker: images have exact versions, services
//! have health checks, ports and addresses are private, and what the file names exists.

use std::collections::BTreeSet;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use yaml_rust2::yaml::Hash;
use yaml_rust2::{Yaml, YamlLoader};

use crate::tool::repository;

const FILE: &str = "examples/compose.cluster.yaml";

/// Checks the compose file, and the Dockerfiles that it names.
pub(crate) fn look() -> Result<()> {
    let file = repository().join(FILE);
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {FILE}"))?;
    let folder = file.parent().context("the file has a folder")?;
    let problems = problems(&text, folder).context(FILE)?;
    ensure!(problems.is_empty(), "{FILE}: {}", problems.join("\n"));
    Ok(())
}

/// A service, with the settings that it merges.
struct Service {
    name: String,
    settings: Hash,
}

/// Returns what is wrong.
fn problems(text: &str, folder: &Path) -> Result<Vec<String>> {
    let mut documents = YamlLoader::load_from_str(text)?;
    ensure!(documents.len() == 1, "it is not one document");
    let file = merged(documents.remove(0));
    let services = services(&file)?;
    let mut problems = Vec::new();
    for service in &services {
        let mut found = service.image(folder);
        found.extend(service.health(&services));
        found.extend(service.dependencies(&services));
        found.extend(service.volumes(&file, folder));
        let found = found
            .into_iter()
            .map(|what| format!("{}: {what}", service.name));
        problems.extend(found);
    }
    problems.extend(check_ports(&services));
    problems.extend(check_addresses(&services));
    Ok(problems)
}

fn services(file: &Yaml) -> Result<Vec<Service>> {
    let services = file["services"].as_hash().context("it has no services")?;
    let service = |(name, settings): (&Yaml, &Yaml)| {
        Some(Service {
            name: name.as_str()?.to_owned(),
            settings: settings.as_hash()?.clone(),
        })
    };
    let services: Option<_> = services.iter().map(service).collect();
    services.context("a service has no name or no settings")
}

/// Resolves the merge keys (`<<`). A key beside it overrides a merged one.
fn merged(yaml: Yaml) -> Yaml {
    match yaml {
        Yaml::Array(items) => Yaml::Array(items.into_iter().map(merged).collect()),
        Yaml::Hash(mut hash) => {
            let base = hash.remove(&Yaml::String("<<".to_owned())).map(merged);
            let mut all = base.and_then(Yaml::into_hash).unwrap_or_default();
            for (key, value) in hash {
                all.insert(key, merged(value));
            }
            Yaml::Hash(all)
        }
        other => other,
    }
}

impl Service {
    fn get(&self, name: &str) -> Option<&Yaml> {
        self.settings.get(&Yaml::String(name.to_owned()))
    }

    fn list(&self, name: &str) -> Vec<&str> {
        let items = self.get(name).and_then(Yaml::as_vec);
        items
            .into_iter()
            .flatten()
            .filter_map(Yaml::as_str)
            .collect()
    }

    fn image(&self, folder: &Path) -> Vec<String> {
        let Some(build) = self.get("build") else {
            let image = self.get("image").and_then(Yaml::as_str).unwrap_or_default();
            let problem = format!("its image `{image}` has no exact version");
            return (!is_pinned(image)).then_some(problem).into_iter().collect();
        };
        let context = folder.join(build["context"].as_str().unwrap_or("."));
        let file = context.join(build["dockerfile"].as_str().unwrap_or("Dockerfile"));
        let Ok(text) = fs::read_to_string(&file) else {
            return vec![format!("there is no {}", file.display())];
        };
        let images = text.lines().filter_map(|line| line.strip_prefix("FROM "));
        let images = images.filter_map(|image| image.split_whitespace().next());
        let loose = images.filter(|image| !is_pinned(image));
        loose
            .map(|image| format!("it is built from `{image}`, which has no exact version"))
            .collect()
    }

    /// A service that only ends needs no health check if others wait for its success.
    fn health(&self, services: &[Self]) -> Option<String> {
        let is_awaited = services.iter().any(|other| {
            let condition = other.dependency(&self.name);
            condition == Some("service_completed_successfully")
        });
        let has_check = self
            .get("healthcheck")
            .is_some_and(|check| !check["test"].is_badvalue());
        (!has_check && !is_awaited).then(|| "it has no health check".to_owned())
    }

    /// The condition under which this service starts after another one.
    fn dependency(&self, on: &str) -> Option<&str> {
        self.get("depends_on")?[on]["condition"].as_str()
    }

    /// A dependency without a condition says nothing: the other may have started and not answer.
    fn dependencies(&self, services: &[Self]) -> Vec<String> {
        let dependencies = self.get("depends_on").and_then(Yaml::as_hash);
        let names = dependencies
            .into_iter()
            .flat_map(|all| all.keys())
            .filter_map(Yaml::as_str);
        let wrong = names.filter(|name| {
            let exists = services.iter().any(|service| service.name == *name);
            !exists || self.dependency(name).is_none()
        });
        wrong
            .map(|name| format!("its dependency on `{name}` has no service or condition"))
            .collect()
    }

    fn volumes(&self, file: &Yaml, folder: &Path) -> Vec<String> {
        let sources = self
            .list("volumes")
            .into_iter()
            .filter_map(|volume| volume.split(':').next());
        let missing = sources.filter(|source| {
            if source.starts_with('.') {
                !folder.join(source).exists()
            } else {
                let volumes = file["volumes"].as_hash();
                !volumes.is_some_and(|all| all.contains_key(&Yaml::String((*source).to_owned())))
            }
        });
        missing
            .map(|source| format!("there is no file or volume `{source}`"))
            .collect()
    }
}

/// Returns true if the tag has a version with a minor number, such as `redis:8.0.2`.
pub(crate) fn is_pinned(image: &str) -> bool {
    let tag = image.rsplit_once(':').map(|(_, tag)| tag);
    tag.is_some_and(|tag| {
        tag.starts_with(|first: char| first.is_ascii_digit()) && tag.contains('.')
    })
}

/// Published ports are on this machine only, and different.
fn check_ports(services: &[Service]) -> Vec<String> {
    let mut used = BTreeSet::new();
    let mut problems = Vec::new();
    for service in services {
        for port in service.list("ports") {
            let parts: Vec<_> = port.split(':').collect();
            let is_local = matches!(parts[..], ["127.0.0.1", outside, inside]
                if [outside, inside].iter().all(|port| port.parse::<u16>().is_ok()));
            if !is_local {
                problems.push(format!(
                    "{}: port `{port}` is not `127.0.0.1:port:port`",
                    service.name
                ));
            }
            if !used.insert(port) {
                problems.push(format!("{}: port `{port}` is used twice", service.name));
            }
        }
    }
    problems
}

/// The addresses of the nodes are private and different, and the command that makes the cluster names
/// all of them.
fn check_addresses(services: &[Service]) -> Vec<String> {
    let of = |service: &Service| {
        let networks = service.get("networks")?.as_hash()?;
        let address = networks
            .values()
            .find_map(|network| network["ipv4_address"].as_str());
        address.map(str::to_owned)
    };
    let all: Vec<_> = services.iter().filter_map(of).collect();
    let addresses: BTreeSet<_> = all.iter().cloned().collect();
    let is_private = |address: &&String| {
        let address = address.parse::<Ipv4Addr>();
        !address.is_ok_and(|address| address.is_private())
    };
    let public = addresses.iter().filter(is_private);
    let mut problems: Vec<_> = public
        .map(|one| format!("`{one}` is not a private address"))
        .collect();
    if all.len() != addresses.len() {
        problems.push("two services have one address".to_owned());
    }
    let named = services.iter().flat_map(|service| service.list("command"));
    let named = named
        .filter_map(|word| word.strip_suffix(":6379"))
        .map(str::to_owned);
    if named.collect::<BTreeSet<_>>() != addresses {
        problems.push("the command that makes the cluster names other nodes".to_owned());
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compose_file_of_the_cluster_is_valid() {
        look().unwrap();
    }

    fn found(old: &str, new: &str) -> String {
        let folder = repository().join("examples");
        let text = fs::read_to_string(repository().join(FILE)).unwrap();
        assert!(text.contains(old), "{old}");
        problems(&text.replacen(old, new, 1), &folder)
            .unwrap()
            .join("\n")
    }

    #[test]
    fn each_mistake_is_found() {
        for (old, new, what) in [
            (
                "image: redis:8.0.2",
                "image: redis:latest",
                "no exact version",
            ),
            ("image: redis:8.0.2", "image: redis", "no exact version"),
            ("  healthcheck:", "  x-healthcheck:", "no health check"),
            (
                "{condition: service_healthy}",
                "{}",
                "no service or condition",
            ),
            (
                "      redis-1: {",
                "      redis-7: {",
                "no service or condition",
            ),
            (
                "127.0.0.1:4001:4000",
                "4001:4000",
                "is not `127.0.0.1:port:port`",
            ),
            ("127.0.0.1:4001:4000", "127.0.0.1:4000:4000", "used twice"),
            ("'redis-1:/data'", "'redis-0:/data'", "no file or volume"),
            (
                "./save-search/redis.conf",
                "./no/redis.conf",
                "no file or volume",
            ),
            (
                "{ipv4_address: 172.30.0.11}",
                "{ipv4_address: 173.18.0.2}",
                "not a private address",
            ),
            (
                "{ipv4_address: 172.30.0.11}",
                "{ipv4_address: 172.30.0.12}",
                "have one address",
            ),
            (
                "- 172.30.0.16:6379",
                "- 172.30.0.17:6379",
                "names other nodes",
            ),
        ] {
            let found = found(old, new);
            assert!(found.contains(what), "{new}: {found}");
        }
    }

    #[test]
    fn a_file_that_is_no_yaml_is_an_error() {
        assert!(problems("services: [", Path::new(".")).is_err());
        assert!(problems("volumes: {}", Path::new(".")).is_err());
    }
}
