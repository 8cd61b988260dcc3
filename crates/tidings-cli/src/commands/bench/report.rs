//! The result of a run, as text and as JSON.

use std::fmt::Write as _;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::terminal::{Style, count, paint};

pub(super) struct Report {
    pub(super) namespace: String,
    /// The events per second that were asked for.
    pub(super) rate: u64,
    pub(super) size: usize,
    pub(super) subscribers: u64,
    pub(super) took: Duration,
    /// Events that were sent, or may have been.
    pub(super) sent: u64,
    pub(super) not_sent: u64,
    /// Events of `sent` that may have been sent.
    pub(super) unknown: u64,
    /// Events that arrived, of each subscriber.
    pub(super) received: u64,
    pub(super) twice: u64,
    pub(super) out_of_order: u64,
    pub(super) latencies: Histogram<u64>,
    pub(super) processor: Processor,
}

/// Processor time of a run.
pub(super) struct Processor {
    pub(super) sender: Duration,
    pub(super) subscribers: Duration,
    /// `None` if the user may not ask for it.
    pub(super) redis: Option<Duration>,
}

impl Report {
    fn lost(&self) -> u64 {
        (self.sent * self.subscribers).saturating_sub(self.received)
    }

    pub(super) fn exit(&self) -> Exit {
        let wrong = [
            self.lost(),
            self.twice,
            self.out_of_order,
            self.not_sent,
            self.unknown,
        ];
        match wrong {
            _ if self.sent == 0 => Exit::Failed,
            [0, 0, 0, 0, 0] => Exit::Done,
            _ => Exit::Incomplete,
        }
    }

    fn sent_per_second(&self) -> u64 {
        let took = self.took.as_nanos().max(1);
        let rate = u128::from(self.sent) * 1_000_000_000 / took;
        u64::try_from(rate).unwrap_or(u64::MAX)
    }

    /// Returns the rate, and the one that was asked for if the sender could not keep it.
    fn shown_rate(&self) -> String {
        let (sent, asked) = (self.sent_per_second(), self.rate);
        let shown = format!("{}/s", grouped(sent));
        if sent.saturating_mul(10) < asked.saturating_mul(9) {
            format!("{shown} of {}/s", grouped(asked))
        } else {
            shown
        }
    }

    /// Returns nanoseconds of processor time per event of the sender, a subscriber and Redis.
    fn per_event(&self) -> [Option<u64>; 3] {
        let Processor {
            sender,
            subscribers,
            redis,
        } = &self.processor;
        let per = |time: &Duration, events: u64| {
            let nanoseconds = time.as_nanos().checked_div(events.into())?;
            u64::try_from(nanoseconds).ok()
        };
        [
            per(sender, self.sent),
            per(subscribers, self.received),
            redis.as_ref().and_then(|redis| per(redis, self.sent)),
        ]
    }

    pub(super) fn json(&self) -> Value {
        let latency = |quantile| milliseconds(self.latencies.value_at_quantile(quantile));
        let [sender, subscriber, redis] = self.per_event();
        json!({
            "namespace": self.namespace,
            "requested_rate": self.rate,
            "rate": self.sent_per_second(),
            "size": self.size,
            "subscribers": self.subscribers,
            "took": milliseconds(super::sample::nanoseconds(self.took)),
            "sent": self.sent,
            "not_sent": self.not_sent,
            "unknown": self.unknown,
            "received": self.received,
            "lost": self.lost(),
            "twice": self.twice,
            "out_of_order": self.out_of_order,
            "latency": {
                "p50": latency(0.5),
                "p90": latency(0.9),
                "p99": latency(0.99),
                "p99_9": latency(0.999),
                "max": latency(1.0),
            },
            "nanoseconds_per_event": {
                "sender": sender,
                "subscriber": subscriber,
                "redis": redis,
            },
        })
    }

    pub(super) fn text(&self) -> String {
        let mut lines = vec![format!(
            "{} events of {} bytes in {:.1?}, {}, to {}",
            grouped(self.sent),
            self.size,
            self.took,
            self.shown_rate(),
            count(self.subscribers, "subscriber"),
        )];
        let latency = |quantile| time(self.latencies.value_at_quantile(quantile));
        lines.push(format!(
            "latency p50 {}, p99 {}, p99.9 {}, max {}",
            latency(0.5),
            latency(0.99),
            latency(0.999),
            latency(1.0),
        ));
        let per_event = self.per_event();
        let shown = per_event.map(|it| it.map_or("unknown".to_owned(), time));
        let [sender, subscriber, redis] = shown;
        lines.push(format!(
            "CPU per event: sender {sender}, subscriber {subscriber}, Redis {redis}"
        ));
        lines.push(paint(self.style(), self.verdict()));
        lines.join("\n")
    }

    fn style(&self) -> Style {
        match self.exit() {
            Exit::Done => Style::Success,
            _ => Style::Error,
        }
    }

    fn verdict(&self) -> String {
        let mut text = format!(
            "{} lost, {} twice, {} out of order of {} deliveries",
            grouped(self.lost()),
            grouped(self.twice),
            grouped(self.out_of_order),
            grouped(self.sent * self.subscribers),
        );
        for (number, what) in [
            (self.not_sent, "not sent"),
            (self.unknown, "perhaps not sent"),
        ] {
            if number > 0 {
                let _ = write!(text, "; {} events {what}", grouped(number));
            }
        }
        text
    }
}

/// Returns a number with a comma after each thousand.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Returns nanoseconds in the unit that has a number from 1 to 1000, with two or three digits.
fn time(nanoseconds: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let nanoseconds = nanoseconds as f64;
    let (value, unit) = match nanoseconds {
        ..1e3 => return format!("{nanoseconds} ns"),
        ..1e6 => (nanoseconds / 1e3, "µs"),
        ..1e9 => (nanoseconds / 1e6, "ms"),
        _ => (nanoseconds / 1e9, "s"),
    };
    let digits = usize::from(value < 10.0);
    format!("{value:.digits$} {unit}")
}

/// Returns milliseconds with three places.
fn milliseconds(nanoseconds: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "the places are microseconds")]
    let microseconds = (nanoseconds / 1_000) as f64;
    microseconds / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut latencies = Histogram::new(3).unwrap();
        latencies.record_n(97_000, 2_000).unwrap();
        Report {
            namespace: "bench-7f3a1c09".to_owned(),
            rate: 1_000,
            size: 128,
            subscribers: 2,
            took: Duration::from_secs(1),
            sent: 1_000,
            not_sent: 0,
            unknown: 0,
            received: 2_000,
            twice: 0,
            out_of_order: 0,
            latencies,
            processor: Processor {
                sender: Duration::from_micros(233),
                subscribers: Duration::from_micros(594),
                redis: None,
            },
        }
    }

    #[test]
    fn a_run_without_a_loss_is_done() {
        let report = report();
        assert_eq!(report.exit(), Exit::Done);
        let text = anstream::adapter::strip_str(&report.text()).to_string();
        assert_eq!(
            text,
            "1,000 events of 128 bytes in 1.0s, 1,000/s, to 2 subscribers\n\
             latency p50 97 µs, p99 97 µs, p99.9 97 µs, max 97 µs\n\
             CPU per event: sender 233 ns, subscriber 297 ns, Redis unknown\n\
             0 lost, 0 twice, 0 out of order of 2,000 deliveries"
        );
    }

    #[test]
    fn a_loss_is_in_the_text_the_json_and_the_exit_code() {
        let mut report = report();
        (report.received, report.unknown) = (1_990, 3);
        assert_eq!(report.exit(), Exit::Incomplete);
        assert!(report.text().contains("10 lost, 0 twice"));
        assert!(report.text().contains("; 3 events perhaps not sent"));
        assert_eq!(report.json()["lost"], 10);
        report.rate = 5_000;
        assert!(report.text().contains(", 1,000/s of 5,000/s, to "));
        report.sent = 0;
        assert_eq!(report.exit(), Exit::Failed);
    }

    #[test]
    fn numbers_and_times_are_short() {
        assert_eq!(grouped(7), "7");
        assert_eq!(grouped(1_234_567), "1,234,567");
        let times = [850, 1_100, 97_400, 1_080_000, 265_000_000, 2_500_000_000];
        let shown = times.map(time);
        assert_eq!(
            shown,
            ["850 ns", "1.1 µs", "97 µs", "1.1 ms", "265 ms", "2.5 s"]
        );
    }
}
