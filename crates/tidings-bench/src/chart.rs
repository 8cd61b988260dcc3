//! A bar chart of `feed` for the book, as SVG: all peers, with one subscriber and with eight.

use std::fmt::Write as _;

use crate::rows::{FEED_1, FEED_8, Scenario, thousands};
use crate::summary::Summary;

const WIDTH: f64 = 760.0;
const ROW: f64 = 22.0;
const BARS_AT: f64 = 220.0;
const LABELS: f64 = 90.0;

/// Greys and colours with enough contrast on white and on black.
const STYLE: &str = "text{font:13px system-ui,sans-serif;fill:#767676}\
     .title{font-weight:600}.ours{fill:#c2571a}.theirs{fill:#5b7fa6}";

/// Returns the chart as SVG. Peers without a rate are named too.
pub(crate) fn svg(rows: &[Summary]) -> String {
    let charts = [
        (FEED_1, "Events a second, 1 → 1 process"),
        (FEED_8, "Events a second, 1 → 8 processes"),
    ];
    let mut body = String::new();
    let mut y = 24.0;
    for (scenario, title) in charts {
        y = section(&mut body, rows, scenario, title, y);
    }
    let title = "Events a second, fed without awaiting each";
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {y}\" role=\"img\" \
         aria-labelledby=\"title\">\n<title id=\"title\">{title}</title>\n<style>{STYLE}</style>\n\
         {body}</svg>\n"
    )
}

/// Draws one scenario from `y` on, to its own scale, and returns where it ends.
fn section(
    body: &mut String,
    rows: &[Summary],
    scenario: Scenario,
    title: &str,
    mut y: f64,
) -> f64 {
    let mut rows: Vec<_> = rows.iter().filter(|row| row.scenario == scenario).collect();
    let rate = |row: &Summary| row.rate().unwrap_or(0.0);
    rows.sort_by(|one, other| rate(other).total_cmp(&rate(one)));
    let most = rows.first().map_or(0.0, |row| rate(row)).max(1.0);
    let _ = writeln!(
        body,
        "<text class=\"title\" x=\"0\" y=\"{y}\">{title}</text>"
    );
    for row in rows {
        y += ROW;
        bar(body, row, most, y);
    }
    y + 2.0 * ROW
}

fn bar(body: &mut String, row: &Summary, most: f64, y: f64) {
    let name = escaped(row.peer.name());
    let _ = writeln!(body, "<text x=\"0\" y=\"{y}\">{name}</text>");
    let Some(rate) = row.rate() else {
        let _ = writeln!(
            body,
            "<text x=\"{BARS_AT}\" y=\"{y}\">no rate: events lost</text>"
        );
        return;
    };
    let length = length(rate, most);
    let class = if row.peer.is_tidings() {
        "ours"
    } else {
        "theirs"
    };
    let (top, end) = (y - 12.0, BARS_AT + length + 6.0);
    let label = label(rate);
    let _ = writeln!(
        body,
        "<rect class=\"{class}\" x=\"{BARS_AT}\" y=\"{top}\" width=\"{length:.1}\" height=\"15\" \
         rx=\"2\"/>\n<text x=\"{end:.1}\" y=\"{y}\">{label}</text>"
    );
}

/// The length of the bar of a rate; the bar of the highest rate fills the width.
fn length(rate: f64, most: f64) -> f64 {
    ((WIDTH - BARS_AT - LABELS) * rate / most).max(1.0)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rates are positive and far below 2^52"
)]
fn label(rate: f64) -> String {
    // The measurement is not more precise than three digits.
    let digits = rate.max(1.0).log10().floor() - 2.0;
    let step = 10_f64.powf(digits.max(0.0));
    thousands(((rate / step).round() * step) as u64)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::Peer;
    use crate::rows::Row;
    use crate::run::Run;
    use crate::sender::Sent;
    use crate::subscriber::Received;

    fn row(scenario: Scenario, peer: Peer, lost: u64) -> Summary {
        let received = Received {
            received: 1_000 - lost,
            wanted: 1_000,
            last_ns: 1_000_000,
            ..Received::default()
        };
        let run = Run {
            events: 1_000,
            sent: vec![Sent::default()],
            received: vec![received],
            server_cpu_ns: 0,
        };
        let row = Row {
            scenario,
            peer,
            events: 1_000,
        };
        Summary::new(&row, vec![Some(run)], Vec::new())
    }

    /// Checks that each element is closed by its own end tag, in order.
    fn is_well_formed(svg: &str) -> bool {
        let mut open = Vec::new();
        for tag in svg.split('<').skip(1) {
            let Some((tag, _)) = tag.split_once('>') else {
                return false;
            };
            let name = tag.split_whitespace().next().unwrap_or("");
            if let Some(name) = name.strip_prefix('/') {
                if open.pop() != Some(name) {
                    return false;
                }
            } else if !tag.ends_with('/') {
                open.push(name);
            }
        }
        open.is_empty()
    }

    #[test]
    fn the_chart_is_well_formed_and_names_every_peer() {
        let rows = [
            row(FEED_1, Peer::TidingsJson, 0),
            row(FEED_1, Peer::Redis, 1),
            row(FEED_8, Peer::Nats, 0),
            row(FEED_8.of_size(32), Peer::Raw, 0),
        ];
        let svg = svg(&rows);
        assert!(is_well_formed(&svg), "{svg}");
        assert_eq!(svg.matches("<rect").count(), 2);
        assert_eq!(svg.matches("no rate").count(), 1);
        assert!(svg.contains("1,000,000") && svg.contains("NATS"));
        assert!(!svg.contains("raw sockets") && svg.contains("<title"));
        assert!(!is_well_formed("<svg><g></svg>"));
        assert!(is_well_formed(&super::svg(&[])));
    }

    #[test]
    fn a_bar_grows_with_its_rate_and_fits_the_width() {
        assert!(length(2_000.0, 1e6) < length(20_000.0, 1e6));
        assert!(length(1e6, 1e6) <= WIDTH - BARS_AT - LABELS);
        assert!(length(1.0, 1e6) >= 1.0);
    }

    #[test]
    fn labels_are_rounded_to_three_digits() {
        assert_eq!(label(1_234_567.0), "1,230,000");
        assert_eq!(label(914.4), "914");
        assert_eq!(label(7.2), "7");
    }
}
