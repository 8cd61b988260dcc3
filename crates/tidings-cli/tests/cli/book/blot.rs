//! Compares lines of a session without what differs between two runs.

/// Units of durations.
const UNITS: [&str; 7] = ["ns", "µs", "ms", "s", "m", "h", "d"];

/// A number with more than three digits.
const NUMBER: &str = "NUMBER";

/// Units of memory.
const SIZES: [&str; 3] = ["K", "M", "G"];

/// Returns whether the page shows this line.
pub(crate) fn is_same(shown: &str, printed: &str) -> bool {
    let printed = blot(printed);
    let (shown, printed) = match shown.strip_suffix(" …") {
        Some(beginning) => {
            let beginning = blot(beginning);
            let end = beginning.len().min(printed.len());
            (beginning, &printed[..end])
        }
        None => (blot(shown), &printed[..]),
    };
    let is_alike = |(shown, printed): (&String, &String)| {
        // A process id can have fewer digits than that on the page.
        shown == printed || (shown == NUMBER && is_digits(printed))
    };
    shown.len() == printed.len() && shown.iter().zip(printed).all(is_alike)
}

/// Splits a line into words and what is between them. Ids, times, positions, durations, hosts and large
/// numbers are replaced by their kind, and several spaces by one: the width of a column depends on them.
fn blot(line: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        let is_word = is_part_of_word(first);
        let end = rest.find(|it| is_part_of_word(it) != is_word);
        let (part, after) = rest.split_at(end.unwrap_or(rest.len()));
        rest = after;
        if is_word {
            // The end of a sentence, or what introduces the next words.
            let word = part.trim_end_matches(['.', ':', '-', ',']);
            push(&mut parts, word);
            parts.push(part[word.len()..].to_owned());
        } else {
            parts.push(
                part.split(' ')
                    .filter(|it| !it.is_empty())
                    .collect::<String>(),
            );
            if part.contains(' ') {
                parts.push(" ".to_owned());
            }
        }
        parts.retain(|part| !part.is_empty());
    }
    let has_space = parts.last().is_some_and(|part| part == " ");
    parts.truncate(parts.len() - usize::from(has_space));
    parts
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit())
}

fn is_part_of_word(character: char) -> bool {
    character.is_alphanumeric() || ".:-,".contains(character)
}

/// Adds a word. A duration of two words or with two units is one, and so is a number per second. A
/// number of bytes is a size.
fn push(parts: &mut Vec<String>, word: &str) {
    const DURATION: &str = "DURATION";
    let before = parts.len().checked_sub(2).map(|at| parts[at].clone());
    let is_number = |word: &str| word == NUMBER || word.parse::<f64>().is_ok();
    let last = parts.last().cloned().unwrap_or_default();
    let is_after_space = last == " ";
    let is_unit = UNITS.contains(&word) && (is_after_space || last == "/");
    match before {
        Some(before) if is_unit && is_number(&before) => {
            parts.truncate(parts.len() - 2);
            parts.push(DURATION.to_owned());
        }
        Some(before) if is_after_space && word == "bytes" && is_number(&before) => {
            parts.truncate(parts.len() - 2);
            parts.push("SIZE".to_owned());
        }
        Some(before) if is_after_space && before == DURATION && kind(word) == DURATION => {
            parts.pop();
        }
        _ => parts.push(kind(word).to_owned()),
    }
}

/// Returns what is compared of a word.
fn kind(word: &str) -> &str {
    let is_id = |text: &str| {
        let is_hex = text.bytes().all(|it| it.is_ascii_hexdigit());
        is_hex && [8, 16, 32].contains(&text.len())
    };
    let parts: Vec<_> = word.split('-').collect();
    let colons = word.match_indices(':').map(|(at, _)| at);
    match () {
        () if is_id(word) => "ID",
        () if parts.len() == 2 && parts[0] == "bench" && is_id(parts[1]) => "ID",
        () if word.len() == 12 && colons.clone().eq([2, 5]) => "TIME",
        () if word.len() == 24 && word.ends_with('Z') && colons.eq([13, 16]) => "TIME",
        () if parts.len() == 2 && parts.iter().all(|it| is_digits(it)) && word.len() > 12 => {
            "POSITION"
        }
        () if parts.len() == 2 && parts[0] == "web" && is_digits(parts[1]) => "HOST",
        () if is_digits(&word.replace([',', '.'], "")) && word.len() > 3 => NUMBER,
        () => {
            let number = word.trim_end_matches(|it: char| it.is_alphabetic());
            let unit = &word[number.len()..];
            if UNITS.contains(&unit) && is_digits(&number.replace('.', "")) {
                "DURATION"
            } else if SIZES.contains(&unit) && is_digits(&number.replace('.', "")) {
                "SIZE"
            } else {
                word
            }
        }
    }
}

#[test]
fn what_differs_between_two_runs_is_not_compared() {
    for (shown, printed) in [
        ("api-1  4711  be51bc88", "api-1  12345  01234567"),
        ("web  pid 4711, listening", "web  pid 578, listening"),
        ("web-3  2h 10m", "web-12    0s"),
        ("within 5s: job-1", "within 300ms: job-1"),
        ("6  1.9 ms", "6  12.0 ms"),
        ("1.2M / 1.0G", "1012K / 2.0G"),
        ("12:30:25.118  api-1  {}", "00:00:00.000  api-1  {}"),
        ("1764332423371-2  1s ago", "1864332423371-0  9m 58s ago"),
        ("50,000/s sent", "999/s sent"),
        ("limits, 17 bytes: set", "limits, 8 bytes: set"),
        (
            "2026-11-30T09:12:40.118Z send",
            "2027-01-02T10:00:00.000Z send",
        ),
        ("in bench-7f3a1c09 at", "in bench-00000000 at"),
        ("contract  9c1185a5c5e9fc54", "contract  f2b57075077ea944"),
        (
            "ACL SETUSER shop on …",
            "ACL SETUSER shop on resetkeys -@all",
        ),
    ] {
        assert!(
            is_same(shown, printed),
            "{:?} {:?}",
            blot(shown),
            blot(printed)
        );
    }
    for (shown, printed) in [
        ("3 handled", "2 handled"),
        ("version 17", "version 18"),
        ("api-1", "api-2"),
        ("{\"id\":7}", "{\"id\":8}"),
        ("ACL SETUSER shop on …", "ACL SETUSER tidings on resetkeys"),
    ] {
        assert!(
            !is_same(shown, printed),
            "{:?} {:?}",
            blot(shown),
            blot(printed)
        );
    }
}
