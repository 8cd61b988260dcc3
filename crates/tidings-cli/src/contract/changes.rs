//! The changes that both sides can read: fields that were added or removed.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use serde_json::{Map, Value};

/// The most pairs of schemas that are looked at for all places together.
const STEPS: usize = 1_000_000;

/// The most references that lead to each other.
const REFERENCES: usize = 64;

type Definitions<'a> = BTreeMap<&'a str, &'a Value>;
type Pair<'a> = [&'a Value; 2];

/// The definitions of both versions, and which of them have changed.
#[derive(Debug)]
pub(super) struct Changes<'a> {
    definitions: [Definitions<'a>; 2],
    /// Definitions that have changed, or that refer to one.
    changed: HashSet<&'a str>,
    steps: usize,
}

/// The comparison of one place.
struct Comparison<'s> {
    definitions: &'s [Definitions<'s>; 2],
    changed: &'s HashSet<&'s str>,
    seen: HashSet<[*const Value; 2]>,
    /// The pairs that are compared next, those with the shortest paths first.
    waiting: VecDeque<(Pair<'s>, String)>,
    found: Vec<(String, String)>,
}

impl<'a> Changes<'a> {
    pub(super) fn new(definitions: [Definitions<'a>; 2]) -> Self {
        let changed = changed(&definitions);
        Self {
            definitions,
            changed,
            steps: STEPS,
        }
    }

    /// Returns the place and the description of each change between two schemas of readers. A type that
    /// is in several places is compared once, at the shortest path.
    pub(super) fn between(&mut self, schemas: Pair<'_>) -> Vec<(String, String)> {
        let mut comparison = Comparison {
            definitions: &self.definitions,
            changed: &self.changed,
            seen: HashSet::new(),
            waiting: VecDeque::new(),
            found: Vec::new(),
        };
        comparison.add(schemas, String::new());
        while let Some((pair, path)) = comparison.waiting.pop_front() {
            if self.steps == 0 {
                let text =
                    "there are more changes than are listed, and both versions can read them";
                comparison.found.push((".".to_owned(), text.to_owned()));
                break;
            }
            self.steps -= 1;
            comparison.compare(pair, &path);
        }
        comparison.found
    }
}

impl<'s> Comparison<'s> {
    /// Adds a pair that may have changed.
    fn add(&mut self, [old, new]: Pair<'s>, path: String) {
        let names = [old, new].map(reference);
        if let [Some(one), Some(other)] = names
            && one == other
            && !self.changed.contains(one)
        {
            return;
        }
        let [old_definitions, new_definitions] = self.definitions;
        let pair = [resolve(old, old_definitions), resolve(new, new_definitions)];
        if self.seen.insert(pair.map(std::ptr::from_ref)) {
            self.waiting.push_back((pair, path));
        }
    }

    fn compare(&mut self, [old, new]: Pair<'s>, path: &str) {
        let before = self.found.len();
        let (Value::Object(was), Value::Object(is)) = (old, new) else {
            if old != new {
                self.changed_type(path);
            }
            return;
        };
        let mut followed = self.fields(was, is, path);
        for (keyword, place) in [
            ("items", "[]"),
            ("additionalProperties", ".*"),
            ("patternProperties", ".*"),
            ("allOf", ""),
            ("anyOf", ""),
            ("oneOf", ""),
        ] {
            let (Some(was), Some(is)) = (was.get(keyword), is.get(keyword)) else {
                continue;
            };
            if let Some(pairs) = pairs(was, is) {
                followed.insert(keyword);
                for pair in pairs {
                    self.add(pair, format!("{path}{place}"));
                }
            }
        }
        let rest = |schema: &'s Map<String, Value>| {
            let keywords = schema.iter();
            let rest = keywords.filter(|(keyword, _)| !followed.contains(keyword.as_str()));
            rest.collect::<BTreeMap<_, _>>()
        };
        if self.found.len() == before && rest(was) != rest(is) {
            self.changed_type(path);
        }
    }

    /// Compares the fields of two objects, and returns whether both have some.
    fn fields(
        &mut self,
        was: &'s Map<String, Value>,
        is: &'s Map<String, Value>,
        path: &str,
    ) -> BTreeSet<&'static str> {
        let fields = |it: &'s Map<String, Value>| it.get("properties").and_then(Value::as_object);
        let (Some(was), Some(is)) = (fields(was), fields(is)) else {
            return BTreeSet::new();
        };
        let names: BTreeSet<_> = was.keys().chain(is.keys()).collect();
        for name in names {
            let path = format!("{path}.{name}");
            match (was.get(name), is.get(name)) {
                (Some(was), Some(is)) => self.add([was, is], path),
                (None, _) => self.found.push((
                    path,
                    "a field was added that old events may lack".to_owned(),
                )),
                (_, None) => {
                    let text = "a field was removed that readers can do without";
                    self.found.push((path, text.to_owned()));
                }
            }
        }
        BTreeSet::from(["properties"])
    }

    fn changed_type(&mut self, path: &str) {
        let path = if path.is_empty() { "." } else { path };
        let text = "the type was changed, and both versions can read it";
        let found = (path.to_owned(), text.to_owned());
        if !self.found.contains(&found) {
            self.found.push(found);
        }
    }
}

/// Returns the schemas of a keyword, side by side, if both have as many.
fn pairs<'a>(was: &'a Value, is: &'a Value) -> Option<Vec<Pair<'a>>> {
    match (was, is) {
        (Value::Array(was), Value::Array(is)) if was.len() == is.len() => {
            Some(was.iter().zip(is).map(|(was, is)| [was, is]).collect())
        }
        (Value::Object(was), Value::Object(is)) if is_named(was) && is_named(is) => {
            let pairs = was.iter().zip(is).map(|((_, was), (_, is))| [was, is]);
            was.keys().eq(is.keys()).then(|| pairs.collect())
        }
        (Value::Object(_), Value::Object(_)) => Some(vec![[was, is]]),
        _ => None,
    }
}

/// Returns whether these are schemas by pattern, and not a schema itself.
fn is_named(schemas: &Map<String, Value>) -> bool {
    !schemas.is_empty() && schemas.keys().all(|name| name.starts_with('^'))
}

fn resolve<'a>(schema: &'a Value, definitions: &Definitions<'a>) -> &'a Value {
    let mut target = schema;
    for _ in 0..REFERENCES {
        match reference(target).and_then(|name| definitions.get(name).copied()) {
            Some(definition) => target = definition,
            None => return target,
        }
    }
    schema
}

fn reference(schema: &Value) -> Option<&str> {
    let reference = schema.get("$ref").and_then(Value::as_str)?;
    reference.strip_prefix("#/definitions/")
}

/// Returns the names of the definitions that have changed, or that refer to one.
fn changed<'a>([old, new]: &[Definitions<'a>; 2]) -> HashSet<&'a str> {
    let mut referring = HashMap::<&str, Vec<&'a str>>::new();
    for (name, definition) in old.iter().chain(new) {
        references(definition, &mut |to| {
            referring.entry(to).or_default().push(name);
        });
    }
    let names = old.keys().chain(new.keys()).copied();
    let mut waiting: Vec<_> = names
        .filter(|name| old.get(name) != new.get(name))
        .collect();
    let mut changed = HashSet::new();
    while let Some(name) = waiting.pop() {
        if changed.insert(name) {
            waiting.extend(referring.get(name).into_iter().flatten());
        }
    }
    changed
}

/// Calls a function with each name that a schema refers to.
pub(super) fn references<'a>(schema: &'a Value, found: &mut impl FnMut(&'a str)) {
    match schema {
        Value::Object(object) => {
            reference(schema).into_iter().for_each(&mut *found);
            object.values().for_each(|it| references(it, found));
        }
        Value::Array(items) => items.iter().for_each(|it| references(it, found)),
        _ => {}
    }
}
