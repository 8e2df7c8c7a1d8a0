// Counters for one direction, and the last minute of them as a line.

const SECONDS = 60;

export class Meter {
  messages = 0;
  bytes = 0;
  #messageBuckets = new Array(SECONDS).fill(0);
  #byteBuckets = new Array(SECONDS).fill(0);
  #second;

  /** `second` is the number of the current second on any steady clock. */
  constructor(second) {
    this.#second = second;
  }

  count(bytes, second) {
    this.#advance(second);
    this.messages += 1;
    this.bytes += bytes;
    this.#messageBuckets[second % SECONDS] += 1;
    this.#byteBuckets[second % SECONDS] += bytes;
  }

  /** Messages and bytes in the last whole second. */
  rate(second) {
    this.#advance(second);
    const at = (second + SECONDS - 1) % SECONDS;
    return { messages: this.#messageBuckets[at], bytes: this.#byteBuckets[at] };
  }

  /** Messages in each of the last whole seconds, the oldest first. */
  series(second) {
    this.#advance(second);
    return Array.from({ length: SECONDS - 1 }, (_, i) => this.#messageBuckets[(second + 1 + i) % SECONDS]);
  }

  #advance(second) {
    const steps = Math.min(second - this.#second, SECONDS);
    for (let i = 0; i < steps; i += 1) {
      const at = (second - i) % SECONDS;
      this.#messageBuckets[at] = 0;
      this.#byteBuckets[at] = 0;
    }
    this.#second = Math.max(this.#second, second);
  }
}

/** Points of an SVG polyline over `width`: zero lies at `base`, the value `top` at `peak`, above or below it. */
export function polyline(series, width, base, peak, top) {
  const step = width / (series.length - 1);
  return series
    .map((value, i) => `${(i * step).toFixed(1)},${(base + (value / top) * (peak - base)).toFixed(1)}`)
    .join(' ');
}
