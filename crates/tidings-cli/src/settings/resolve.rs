//! Decides which setting counts: options, then variables, then the project, then the user's file. A
//! context has the precedence of the source that names it.

use std::path::PathBuf;

use crate::exit::Problem;
use crate::settings::address::Address;
use crate::settings::config::Config;
use crate::settings::project::Project;
use crate::settings::{Settings, Source, Sourced};

const DEFAULT_URL: &str = "redis://127.0.0.1:6379";
const DEFAULT_NAMESPACE: &str = "default";

/// Everything that was set. The arrays have the address, the context and the namespace.
#[derive(Debug, Default)]
pub(super) struct Choices {
    pub(super) flags: [Option<String>; 3],
    pub(super) variables: [Option<String>; 3],
    pub(super) password_file: Option<PathBuf>,
    pub(super) project: Option<Project>,
    pub(super) config: Config,
}

/// The settings of one source.
#[derive(Debug)]
struct Layer {
    url: Option<Sourced<Address>>,
    context: Option<Sourced<String>>,
    namespace: Option<Sourced<String>>,
    /// True if the address of this place may get the password of another one.
    is_trusted: bool,
}

pub(super) fn resolve(choices: &Choices) -> Result<Settings, Problem> {
    if let [Some(_), Some(_), _] = &choices.flags {
        return Err(
            Problem::usage("`--url` and `--context` both name an address")
                .help("leave one of them out"),
        );
    }
    let layers = layers(choices);
    let mut namespace = None;
    let mut address = None;
    for layer in layers {
        let context = match (&address, &layer.url, &layer.context) {
            (None, None, Some(name)) => Some((choices.config.context(&name.value)?, name)),
            _ => None,
        };
        namespace = namespace.or(layer.namespace);
        if let Some((context, name)) = context {
            let source = || Source::Context(name.value.clone());
            let own = context.namespace.clone();
            namespace = namespace.or(own.map(|value| Sourced {
                value,
                source: source(),
            }));
            address = Some(Settings {
                context: Some(name.clone()),
                url: Sourced {
                    value: context.url.clone(),
                    source: source(),
                },
                namespace: Sourced::default_namespace(),
                password_file: choices.variable_or(context.password_file.clone(), source()),
                is_protected: context.protect,
            });
        } else if address.is_none()
            && let Some(url) = layer.url
        {
            let password_file = layer
                .is_trusted
                .then(|| choices.variable_or(None, Source::Default));
            address = Some(Settings {
                context: None,
                url,
                namespace: Sourced::default_namespace(),
                password_file: password_file.flatten(),
                is_protected: false,
            });
        }
    }
    let mut settings = address.unwrap_or_else(|| Settings {
        context: None,
        url: Sourced {
            value: Address::new(DEFAULT_URL),
            source: Source::Default,
        },
        namespace: Sourced::default_namespace(),
        password_file: choices.variable_or(None, Source::Default),
        is_protected: false,
    });
    if let Some(namespace) = namespace {
        settings.namespace = namespace;
    }
    Ok(settings)
}

/// Returns what each place sets, the one that counts most first.
fn layers(choices: &Choices) -> Vec<Layer> {
    let mut layers = vec![
        Layer::of(
            &choices.flags,
            ["--url", "--context", "--namespace"].map(Source::Flag),
        ),
        Layer::of(
            &choices.variables,
            ["TIDINGS_URL", "TIDINGS_CONTEXT", "TIDINGS_NAMESPACE"].map(Source::Variable),
        ),
    ];
    if let Some(project) = &choices.project {
        let source = || Source::Project(project.path.clone());
        layers.push(Layer {
            url: project.url.clone().map(|value| Sourced {
                value,
                source: source(),
            }),
            context: project.context.clone().map(|value| Sourced {
                value,
                source: source(),
            }),
            namespace: project.namespace.clone().map(|value| Sourced {
                value,
                source: source(),
            }),
            is_trusted: false,
        });
    }
    let path = || Source::Config(choices.config.path.clone());
    let context = choices.config.context.clone();
    layers.push(Layer {
        url: None,
        context: context.map(|value| Sourced {
            value,
            source: path(),
        }),
        namespace: None,
        is_trusted: true,
    });
    layers
}

impl Layer {
    fn of(values: &[Option<String>; 3], sources: [Source; 3]) -> Self {
        let [url, context, namespace] = values.clone();
        let [of_url, of_context, of_namespace] = sources;
        Self {
            url: url.map(|url| Sourced {
                value: Address::new(url),
                source: of_url,
            }),
            context: context.map(|value| Sourced {
                value,
                source: of_context,
            }),
            namespace: namespace.map(|value| Sourced {
                value,
                source: of_namespace,
            }),
            is_trusted: true,
        }
    }
}

impl Choices {
    /// Returns the password file of the environment, or else of a context.
    fn variable_or(&self, other: Option<PathBuf>, source: Source) -> Option<Sourced<PathBuf>> {
        match (&self.password_file, other) {
            (Some(value), _) => Some(Sourced {
                value: value.clone(),
                source: Source::Variable("TIDINGS_PASSWORD_FILE"),
            }),
            (None, other) => other.map(|value| Sourced { value, source }),
        }
    }
}

impl Sourced<String> {
    fn default_namespace() -> Self {
        Self {
            value: DEFAULT_NAMESPACE.to_owned(),
            source: Source::Default,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::config::Context;

    /// A user's file with the contexts `dev` (the default) and `prod`, which is protected.
    fn config() -> Config {
        let context = |url: &str, namespace: Option<&str>, protect: bool| Context {
            url: Address::new(url),
            namespace: namespace.map(str::to_owned),
            password_file: protect.then(|| PathBuf::from("/secret")),
            protect,
        };
        Config {
            path: PathBuf::from("config.toml"),
            context: Some("dev".into()),
            contexts: [
                ("dev".to_owned(), context("redis://dev", None, false)),
                (
                    "prod".to_owned(),
                    context("redis://prod", Some("shop"), true),
                ),
            ]
            .into(),
        }
    }

    fn project(url: Option<&str>, context: Option<&str>, namespace: Option<&str>) -> Project {
        Project {
            path: PathBuf::from("tidings.toml"),
            url: url.map(Address::new),
            context: context.map(str::to_owned),
            namespace: namespace.map(str::to_owned),
            contract: None,
        }
    }

    /// The address, the namespace, whether it is protected, and the password file.
    fn resolved(choices: &Choices) -> (String, String, bool, Option<String>) {
        let settings = resolve(choices).unwrap();
        let file = settings.password_file;
        (
            settings.url.value.to_string(),
            settings.namespace.value,
            settings.is_protected,
            file.map(|file| file.value.display().to_string()),
        )
    }

    #[test]
    fn options_count_more_than_variables_then_the_project_then_the_file_of_the_user() {
        let is = |choices: Choices, url: &str, namespace: &str, is_protected: bool| {
            let (found_url, found_namespace, protect, _) = resolved(&choices);
            assert_eq!(
                (&*found_url, &*found_namespace, protect),
                (url, namespace, is_protected)
            );
        };
        is(Choices::default(), DEFAULT_URL, "default", false);
        let choices = || Choices {
            config: config(),
            ..Choices::default()
        };
        is(choices(), "redis://dev", "default", false);
        let choices = || Choices {
            project: Some(project(None, Some("prod"), Some("web"))),
            ..choices()
        };
        is(choices(), "redis://prod", "web", true);
        let choices = || Choices {
            variables: [Some("redis://variable".into()), None, None],
            ..choices()
        };
        is(choices(), "redis://variable", "web", false);
        let choices = || Choices {
            flags: [None, Some("prod".into()), None],
            ..choices()
        };
        is(choices(), "redis://prod", "shop", true);
        let choices = || Choices {
            flags: [None, Some("prod".into()), Some("mine".into())],
            ..choices()
        };
        is(choices(), "redis://prod", "mine", true);
        let choices = || Choices {
            flags: [Some("redis://flag".into()), None, None],
            ..choices()
        };
        is(choices(), "redis://flag", "web", false);
    }

    #[test]
    fn a_password_is_not_given_to_an_address_of_a_project() {
        let password_file = Some(PathBuf::from("/variable"));
        let choices = Choices {
            password_file: password_file.clone(),
            project: Some(project(Some("redis://stranger"), None, None)),
            config: config(),
            ..Choices::default()
        };
        assert_eq!(resolved(&choices).3, None);
        let choices = Choices {
            password_file,
            flags: [Some("redis://flag".into()), None, None],
            ..Choices::default()
        };
        assert_eq!(resolved(&choices).3.as_deref(), Some("/variable"));
        let choices = Choices {
            flags: [None, Some("prod".into()), None],
            config: config(),
            ..Choices::default()
        };
        assert_eq!(resolved(&choices).3.as_deref(), Some("/secret"));
    }

    #[test]
    fn an_unknown_context_is_an_error() {
        let choices = Choices {
            flags: [None, Some("other".into()), None],
            config: config(),
            ..Choices::default()
        };
        assert!(resolve(&choices).is_err());
        let flags = [Some("redis://a".into()), Some("dev".into()), None];
        assert!(
            resolve(&Choices {
                flags,
                config: config(),
                ..Choices::default()
            })
            .is_err()
        );
    }
}
