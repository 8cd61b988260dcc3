// The count of events that arrived, were shown, were filtered and were not shown, over all streams of a page.

const ZERO = { arrived: 0, filtered: 0, server: 0 };

export class Tally {
  constructor() {
    this.clear();
  }

  clear() {
    this.before = { ...ZERO };
    this.now = { ...ZERO };
    this.since = 0;
    this.skipped = 0;
    this.gaps = 0;
    this.arrivedPerSecond = 0;
    this.shownPerSecond = 0;
  }

  /** Events came from the server. */
  receive(events) {
    this.since += events;
  }

  /** Events came from the server and are not shown. */
  skip(events) {
    this.skipped += events;
  }

  /** The server's counts since the stream was opened. */
  count(counts, shownPerSecond) {
    this.now = { arrived: counts.arrived, filtered: counts.filtered, server: counts.not_shown };
    this.since = 0;
    this.gaps = counts.gaps_not_shown ?? 0;
    this.arrivedPerSecond = counts.arrived_per_second;
    this.shownPerSecond = shownPerSecond;
  }

  /** A new stream counts from zero. */
  reopen() {
    const { before, now, since } = this;
    this.before = { arrived: before.arrived + now.arrived + since, filtered: before.filtered + now.filtered, server: before.server + now.server };
    this.now = { ...ZERO };
    this.since = 0;
    this.arrivedPerSecond = 0;
    this.shownPerSecond = 0;
  }

  /** The sums: `shown + filtered + notShown` is `arrived`. */
  sums() {
    const arrived = this.before.arrived + this.now.arrived + this.since;
    const filtered = this.before.filtered + this.now.filtered;
    const notShown = this.before.server + this.now.server + this.skipped;
    return { arrived, filtered, notShown, shown: arrived - filtered - notShown };
  }
}
