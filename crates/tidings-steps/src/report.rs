//! Prints the counts as tables or as JSON.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::count::{Cost, Counted, FORMATS};
use crate::step::{Step, Steps};

/// Code without a rule is shown if it takes at least this many instructions.
const UNKNOWN: f64 = 1.0;

pub(crate) fn tables(counted: &Counted) -> String {
    let mut text = "# Instructions per event\n\n".to_owned();
    let columns = FORMATS.map(|(format, name)| (name, &counted[format]));
    text += &event(columns);
    text += "\n# Instructions of an additional event or handler\n\n";
    text += &more(columns);
    for (name, cost) in columns {
        text += &unknown(name, &cost.event);
    }
    text
}

type Column<'a> = (&'static str, &'a Cost);

fn event(columns: [Column<'_>; 2]) -> String {
    let mut text = String::new();
    let [one, other] = columns.map(|(name, _)| name);
    let _ = writeln!(text, "| step | {one} | | {other} | | work |");
    text += "| --- | ---: | ---: | ---: | ---: | --- |\n";
    for step in Step::ALL {
        let [one, other] = columns.map(|(_, cost)| {
            let count = cost.event.get(step);
            let share = 100.0 * count / cost.event.total();
            format!("{} | {share:.1} %", rounded(count))
        });
        let (name, meaning) = (step.name(), step.meaning());
        let _ = writeln!(text, "| {name} | {one} | {other} | {meaning} |");
    }
    let [one, other] = columns.map(|(_, cost)| rounded(cost.event.total()));
    let _ = writeln!(text, "| **total** | **{one}** | | **{other}** | | |");
    text
}

fn more(columns: [Column<'_>; 2]) -> String {
    let mut text = "| step".to_owned();
    for (name, _) in columns {
        let _ = write!(text, " | {name}: event without a handler | handler");
    }
    text += " |\n| --- | ---: | ---: | ---: | ---: |\n";
    let mut row = |name: &str, count: &dyn Fn(&Steps) -> f64| {
        let _ = write!(text, "| {name}");
        for (_, cost) in columns {
            let [unwanted, handler] =
                [&cost.unwanted, &cost.handler].map(|steps| rounded(count(steps)));
            let _ = write!(text, " | {unwanted} | {handler}");
        }
        text += " |\n";
    };
    for step in Step::ALL {
        row(step.name(), &|steps| steps.get(step));
    }
    row("**total**", &Steps::total);
    text
}

fn unknown(format: &str, steps: &Steps) -> String {
    let mut text = String::new();
    for (place, cost) in steps.unknown.iter().filter(|(_, cost)| *cost >= UNKNOWN) {
        let _ = writeln!(text, "\n{format}, other: {cost:.1} in {place}");
    }
    text
}

pub(crate) fn json(counted: &Counted) -> Value {
    let formats = counted.iter().map(|(format, cost)| {
        let cost = json!({
            "event": steps(&cost.event),
            "unwanted": steps(&cost.unwanted),
            "handler": steps(&cost.handler),
        });
        ((*format).to_owned(), cost)
    });
    formats.collect::<Map<_, _>>().into()
}

fn steps(steps: &Steps) -> Value {
    let tenths = |count: f64| json!((count * 10.0).round() / 10.0);
    let counts = Step::ALL.map(|step| (step.name().to_owned(), tenths(steps.get(step))));
    let total = ("total".to_owned(), tenths(steps.total()));
    counts
        .into_iter()
        .chain([total])
        .collect::<Map<_, _>>()
        .into()
}

fn rounded(count: f64) -> String {
    thousands(count, ',')
}

/// Formats a whole number in groups of three digits.
pub(crate) fn thousands(count: f64, separator: char) -> String {
    let digits = format!("{:.0}", count.abs());
    let mut text = String::new();
    if count <= -0.5 {
        text.push('-');
    }
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(separator);
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_groups_of_three_digits() {
        assert_eq!(thousands(0.4, ','), "0");
        assert_eq!(thousands(-0.4, ','), "0");
        assert_eq!(thousands(999.6, ','), "1,000");
        assert_eq!(thousands(-1_234_567.0, '_'), "-1_234_567");
    }

    #[test]
    fn every_step_has_a_row_with_its_share() {
        let event = Steps {
            counts: [(Step::Encode, 1_500.0), (Step::Decode, 500.0)].into(),
            ..Steps::default()
        };
        let cost = Cost {
            event,
            ..Cost::default()
        };
        let counted = [("json", cost.clone()), ("msgpack", cost)].into();

        let tables = tables(&counted);

        let row = "| encode | 1,500 | 75.0 % | 1,500 | 75.0 % | serde writes the payload |";
        assert!(tables.lines().any(|line| line == row), "{tables}");
        assert!(tables.contains("| **total** | **2,000** | | **2,000** | | |"));
    }
}
