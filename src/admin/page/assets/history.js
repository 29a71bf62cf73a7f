// What was seen since this page was opened: each series of /performance every 10 s, by its window of 10 s. Nothing is kept when
// the page is left.

const EVERY_MS = 10000;
/** An hour of them. */
const MOST = 360;
/** Two looks that lie further apart than this have something unseen between them. */
export const APART_MS = 2.5 * EVERY_MS;

const keyOf = (series) => `${series.direction} ${series.route} ${series.upstream}`;

export class History {
  #points = new Map();
  #since = Date.now();

  /** Looks now and then every 10 s; `seen` is called after each look. */
  begin(look, seen) {
    const again = async () => {
      try {
        this.#add(await look());
        seen();
      } catch {
        // Whoever shows the page tells that nobody answers; here it is a gap in the line.
      }
      setTimeout(again, EVERY_MS);
    };
    again();
  }

  #add(answer) {
    const at = Date.parse(answer.observed_at);
    for (const series of answer.series) {
      const latest = series.windows.find((one) => one.window === '10s');
      const points = this.#points.get(keyOf(series)) ?? [];
      points.push({ at, count: latest.total.count, total: latest.total.p95_ms, first: latest.first_byte.p95_ms });
      this.#points.set(keyOf(series), points.slice(-MOST));
    }
  }

  /** Its points, the oldest first. */
  of(series) {
    return this.#points.get(keyOf(series)) ?? [];
  }

  get since() {
    return new Date(this.#since).toISOString();
  }
}
