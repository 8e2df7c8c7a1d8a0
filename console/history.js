// What has happened, within bounds: the page may stay open for weeks beside a chatty server.

export const MAX_ENTRIES = 2000;
export const MAX_BYTES = 64 * 1024 * 1024;

/** A queue that forgets its oldest entries when it exceeds its bounds. */
class Bounded {
  items = [];
  bytes = 0;

  constructor(entries, bytes) {
    this.maxEntries = entries;
    this.maxBytes = bytes;
  }

  /** Gives the number of entries forgotten for this one. The newest always stays. */
  push(entry) {
    this.items.push(entry);
    this.bytes += entry.size;
    let forgotten = 0;
    while (this.items.length > this.maxEntries || (this.bytes > this.maxBytes && this.items.length > 1)) {
      this.bytes -= this.items.shift().size;
      forgotten += 1;
    }
    return forgotten;
  }

  take() {
    const { items } = this;
    this.clear();
    return items;
  }

  clear() {
    this.items = [];
    this.bytes = 0;
  }
}

/**
 * Entries `{ id, at, kind, type, size, text?, bytes?, key?, params? }`: kind is `in`, `out`, `note` or
 * `error`; type is `text`, `binary` or `event`; an event has the `key` of its text and `params` in place of content,
 * so that it can be read in either language.
 */
export class History {
  paused = false;
  /** Entries that fell out of the bounds since the last `clear`. */
  forgotten = 0;

  #shown;
  #held;
  #nextId = 1;

  constructor(maxEntries = MAX_ENTRIES, maxBytes = MAX_BYTES) {
    this.#shown = new Bounded(maxEntries, maxBytes);
    this.#held = new Bounded(maxEntries, maxBytes);
  }

  get entries() {
    return this.#shown.items;
  }

  /** How many entries wait for `resume`. */
  get held() {
    return this.#held.items.length;
  }

  add(entry) {
    const kept = { id: this.#nextId, ...entry };
    this.#nextId += 1;
    this.forgotten += (this.paused ? this.#held : this.#shown).push(kept);
    return kept;
  }

  pause() {
    this.paused = true;
  }

  resume() {
    this.paused = false;
    for (const entry of this.#held.take()) this.forgotten += this.#shown.push(entry);
  }

  clear() {
    this.#shown.clear();
    this.#held.clear();
    this.forgotten = 0;
  }
}

/** What the filter row asks for, compiled once and applied to every entry. */
export class Filter {
  /** `kind` is `all`, `in`, `out` or `event`. */
  constructor(needle = '', kind = 'all') {
    this.kind = kind;
    this.needle = needle;
    this.pattern = needle ? new RegExp(needle.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'), 'iu') : null;
    this.sequences = needle ? byteForms(needle) : [];
  }

  get active() {
    return this.kind !== 'all' || this.pattern !== null;
  }

  /** `words` gives the text of an event in the language of the page. */
  matches(entry, words) {
    if (this.kind !== 'all' && this.kind !== (entry.type === 'event' ? 'event' : entry.kind)) return false;
    if (!this.pattern) return true;
    if (entry.type === 'binary') return this.find(entry.bytes) !== null;
    return this.pattern.test(entry.type === 'event' ? words(entry) : entry.text);
  }

  /** Where the needle lies in a binary message: `{ at, length }` or null. */
  find(bytes) {
    for (const sequence of this.sequences) {
      const at = indexOfBytes(bytes, sequence);
      if (at >= 0) return { at, length: sequence.length };
    }
    return null;
  }
}

// In binary messages the needle may be meant as text or, when it reads as whole bytes, as hex.
function byteForms(needle) {
  const forms = [new TextEncoder().encode(needle)];
  const digits = needle.replace(/\s+/g, '');
  if (/^([0-9a-f]{2})+$/i.test(digits)) {
    forms.push(Uint8Array.from(digits.match(/../g), (pair) => parseInt(pair, 16)));
  }
  return forms;
}

function indexOfBytes(haystack, needle) {
  for (let at = haystack.indexOf(needle[0]); at >= 0; at = haystack.indexOf(needle[0], at + 1)) {
    let i = 1;
    while (i < needle.length && haystack[at + i] === needle[i]) i += 1;
    if (i === needle.length) return at;
  }
  return -1;
}

/** The pieces of a file to download: `json` (one array) or `ndjson` (an object a line). */
export function exportParts(entries, format, words, hex) {
  const records = entries.map((entry) => JSON.stringify({
    time: new Date(entry.at).toISOString(),
    kind: entry.kind,
    type: entry.type,
    size: entry.size,
    ...(entry.type === 'text' && { text: entry.text }),
    ...(entry.type === 'binary' && { hex: hex(entry.bytes) }),
    ...(entry.type === 'event' && { event: entry.key, ...entry.params, text: words(entry) }),
  }));
  if (format === 'ndjson') return records.map((record) => `${record}\n`);
  return ['[\n', ...records.map((record, i) => (i ? `,\n${record}` : record)), '\n]\n'];
}
