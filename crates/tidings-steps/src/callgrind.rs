//! Reads callgrind's output: instructions by source file and function, and the calls between
//! functions.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use anyhow::{Context as _, Result, bail, ensure};

/// A source file, and the function that its code was inlined into.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) function: Function,
    pub(crate) file: Rc<str>,
}

/// A function, by its symbol in a program or library.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Function {
    pub(crate) object: Rc<str>,
    pub(crate) name: Rc<str>,
}

/// Instructions of one run, or per event.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Profile {
    /// The instructions of each place, without the functions that it calls.
    pub(crate) own: BTreeMap<Place, f64>,
    /// The instructions of calls, with everything called from there, by callee and calling place.
    pub(crate) calls: BTreeMap<Function, BTreeMap<Place, f64>>,
}

impl Profile {
    /// Parses output with line numbers, without instruction addresses and jumps.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut reader = Reader::default();
        for (index, line) in text.lines().enumerate() {
            reader
                .line(line)
                .with_context(|| format!("callgrind's line {}: `{line}`", index + 1))?;
        }
        let counted = reader.profile.total();
        ensure!(
            reader.summary == Some(counted),
            "callgrind counted {:?} instructions, its lines have {counted}",
            reader.summary
        );
        Ok(reader.profile)
    }

    /// Returns the instructions per event: `self` has `events` more events than `shorter`.
    pub(crate) fn per_event(&self, shorter: &Self, events: u32) -> Self {
        let events = f64::from(events);
        let calls = self.calls.iter().map(|(callee, callers)| {
            let known = shorter.calls.get(callee);
            let callers = callers.iter().map(|(place, cost)| {
                let before = known.and_then(|known| known.get(place)).unwrap_or(&0.0);
                (place.clone(), (cost - before) / events)
            });
            (callee.clone(), callers.collect())
        });
        let own = self.own.iter().map(|(place, cost)| {
            let before = shorter.own.get(place).unwrap_or(&0.0);
            (place.clone(), (cost - before) / events)
        });
        Self {
            own: own.collect(),
            calls: calls.collect(),
        }
    }

    pub(crate) fn total(&self) -> f64 {
        self.own.values().sum()
    }
}

/// A parser of single lines. Some lines set the file and function of those that follow.
#[derive(Debug, Default)]
struct Reader {
    profile: Profile,
    summary: Option<f64>,
    names: HashMap<(Kind, u32), Rc<str>>,
    object: Rc<str>,
    function: Rc<str>,
    file: Rc<str>,
    callee_object: Option<Rc<str>>,
    callee: Rc<str>,
    /// The next line of numbers is the cost of a call.
    is_call: bool,
}

/// Kinds of names; each is numbered separately.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Object,
    File,
    Function,
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<()> {
        if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
            return self.cost(line);
        }
        if let Some((key, value)) = line.split_once('=') {
            return self.subject(key, value);
        }
        match line.split_once(':') {
            Some(("positions", positions)) => ensure!(positions.trim() == "line", "not by line"),
            Some(("events", events)) => ensure!(events.trim() == "Ir", "not instructions alone"),
            Some(("summary", summary)) => self.summary = Some(summary.trim().parse()?),
            Some(_) => {}
            None => ensure!(line.is_empty() || line.starts_with('#'), "not understood"),
        }
        Ok(())
    }

    fn subject(&mut self, key: &str, value: &str) -> Result<()> {
        match key {
            "ob" => self.object = self.name(Kind::Object, value)?,
            "fl" | "fi" | "fe" => self.file = self.name(Kind::File, value)?,
            "fn" => self.function = self.name(Kind::Function, value)?,
            "cob" => self.callee_object = Some(self.name(Kind::Object, value)?),
            // Read only because it may assign a number to a name.
            "cfi" | "cfl" => drop(self.name(Kind::File, value)?),
            "cfn" => self.callee = self.name(Kind::Function, value)?,
            "calls" => self.is_call = true,
            _ if key.contains(':') => {}
            _ => bail!("not understood"),
        }
        Ok(())
    }

    /// Resolves a name: `(7) name` assigns a number, `(7)` refers to it.
    fn name(&mut self, kind: Kind, text: &str) -> Result<Rc<str>> {
        let Some((number, name)) = text.strip_prefix('(').and_then(|it| it.split_once(')')) else {
            return Ok(text.into());
        };
        let key = (kind, number.parse()?);
        if !name.is_empty() {
            self.names.insert(key, name.trim_start().into());
        }
        let name = self.names.get(&key);
        name.cloned().context("a number without a name")
    }

    /// Reads a line number, which is ignored, and its cost.
    fn cost(&mut self, line: &str) -> Result<()> {
        let (_, cost) = line.split_once(' ').context("a line without a cost")?;
        let cost: f64 = cost.parse()?;
        let place = Place {
            function: Function {
                object: Rc::clone(&self.object),
                name: Rc::clone(&self.function),
            },
            file: Rc::clone(&self.file),
        };
        let profile = &mut self.profile;
        let costs = if std::mem::take(&mut self.is_call) {
            let callee = Function {
                object: self.callee_object.take().unwrap_or(self.object.clone()),
                name: Rc::clone(&self.callee),
            };
            profile.calls.entry(callee).or_default()
        } else {
            &mut profile.own
        };
        *costs.entry(place).or_default() += cost;
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "small whole numbers are exact")]
mod tests {
    use super::*;

    const SHORT: &str = "\
# callgrind format
version: 1
creator: callgrind-3.19.0
cmd: ./tidings-steps 1 json 1 0

desc: Trigger: Program termination
positions: line
events: Ir
summary: 72

ob=(1) /bin/steps
fl=(1) crates/tidings/src/handler/runner.rs
fn=(1) runner::call
10 5
+2 7
fi=(2) /library/vec.rs
* 1
fe=(1)
-1 9
cob=(2) /lib/libc.so.6
cfi=(3) ???
cfn=(2) malloc
calls=3 0
+4 30
cfi=(2)
cfn=(3) grow
calls=1 2
* 20

fl=(2)
fn=(3)
2 20

ob=(2)
fl=(3)
fn=(2)
0 30
";

    fn place(object: &str, function: &str, file: &str) -> Place {
        Place {
            function: Function {
                object: object.into(),
                name: function.into(),
            },
            file: file.into(),
        }
    }

    #[test]
    fn lines_count_for_the_file_they_are_written_in() {
        let profile = Profile::parse(SHORT).unwrap();

        let own = [
            (place("/bin/steps", "grow", "/library/vec.rs"), 20.0),
            (place("/bin/steps", "runner::call", "/library/vec.rs"), 1.0),
            (
                place(
                    "/bin/steps",
                    "runner::call",
                    "crates/tidings/src/handler/runner.rs",
                ),
                21.0,
            ),
            (place("/lib/libc.so.6", "malloc", "???"), 30.0),
        ];
        assert_eq!(profile.own, own.into());
    }

    #[test]
    fn the_cost_of_a_call_is_its_callers_and_not_counted_twice() {
        let profile = Profile::parse(SHORT).unwrap();

        let caller = place(
            "/bin/steps",
            "runner::call",
            "crates/tidings/src/handler/runner.rs",
        );
        let grow = place("/bin/steps", "grow", "").function;
        let malloc = place("/lib/libc.so.6", "malloc", "").function;
        let calls = [
            (grow, [(caller.clone(), 20.0)].into()),
            (malloc, [(caller, 30.0)].into()),
        ];
        assert_eq!(profile.calls, calls.into());
        assert_eq!(profile.total(), 72.0);
    }

    #[test]
    fn an_event_costs_what_the_longer_run_has_more() {
        let short = Profile::parse(SHORT).unwrap();
        let longer = SHORT
            .replace("summary: 72", "summary: 112")
            .replace("0 30\n", "0 70\n")
            .replace("+4 30\n", "+4 70\n");
        let long = Profile::parse(&longer).unwrap();

        let event = long.per_event(&short, 10);

        let malloc = place("/lib/libc.so.6", "malloc", "???");
        assert_eq!(event.own[&malloc], 4.0);
        assert_eq!(event.calls[&malloc.function].values().sum::<f64>(), 4.0);
        assert_eq!(event.total(), 4.0);
    }

    #[test]
    fn a_file_that_is_read_wrongly_is_noticed() {
        for (from, to) in [
            ("summary: 72", "summary: 73"),
            ("positions: line", "positions: instr line"),
            ("events: Ir", "events: Ir Dr"),
            ("+2 7", "+2 7 8"),
            ("fn=(3)\n2 20", "fn=(4)\n2 20"),
            ("fn=(3)\n2 20", "jcnd=1/2 3\n2 20"),
        ] {
            assert!(Profile::parse(&SHORT.replace(from, to)).is_err(), "{to}");
        }
    }
}
