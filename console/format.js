// Pure functions from values to text and back. Nothing here touches the page.

const KIB = 1024;

/** `1536` -> `1.5 KiB`. */
export function formatSize(bytes) {
  if (bytes < KIB) return `${bytes} B`;
  const units = ['KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let unit = -1;
  do {
    value /= KIB;
    unit += 1;
  } while (value >= KIB && unit < units.length - 1);
  return `${value >= 100 ? Math.round(value) : Number(value.toFixed(1))} ${units[unit]}`;
}

/** Local wall clock with milliseconds: `14:03:07.042`. */
export function formatClock(millis) {
  const d = new Date(millis);
  const two = (n) => String(n).padStart(2, '0');
  const ms = String(d.getMilliseconds()).padStart(3, '0');
  return `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}.${ms}`;
}

/** A span of time as `03:25` or `1:02:03`, with days in front when there are any. */
export function formatSpan(millis) {
  const seconds = Math.max(0, Math.floor(millis / 1000));
  const two = (n) => String(n).padStart(2, '0');
  const days = Math.floor(seconds / 86400);
  const hours = Math.floor(seconds / 3600) % 24;
  const clock = `${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
  if (days) return `${days}d ${two(hours)}:${clock}`;
  return hours ? `${hours}:${clock}` : clock;
}

/** Bytes that a text takes on the wire. */
export function utf8Length(text) {
  return new TextEncoder().encode(text).length;
}

/**
 * Reads hex as people paste it: `48 65`, `4865`, `0x48,0x65`, `48:65`, `48-65`, over several lines.
 * Gives `{ bytes }`, or `{ error, at, found }` where `error` is `digit` (with the position of the
 * offending character, from 1) or `odd` (with the number of digits).
 */
export function parseHex(input) {
  const out = new Uint8Array(input.length >> 1);
  let digits = 0;
  for (let i = 0; i < input.length; i += 1) {
    const c = input[i];
    if (/[\s,:;_-]/.test(c)) continue;
    // A `0x` counts as a prefix only where a byte begins.
    if (c === '0' && /[xX]/.test(input[i + 1] ?? '') && digits % 2 === 0) {
      i += 1;
      continue;
    }
    const value = /[0-9a-fA-F]/.test(c) ? parseInt(c, 16) : -1;
    if (value < 0) {
      return { error: 'digit', at: i + 1, found: String.fromCodePoint(input.codePointAt(i)) };
    }
    out[digits >> 1] = (out[digits >> 1] << 4) | value;
    digits += 1;
  }
  if (digits % 2) return { error: 'odd', at: digits };
  return { bytes: out.slice(0, digits >> 1) };
}

const HEX = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, '0'));

/** `48 65 6c` for the first `limit` bytes. */
export function hexLine(bytes, limit = bytes.length) {
  const n = Math.min(limit, bytes.length);
  const parts = new Array(n);
  for (let i = 0; i < n; i += 1) parts[i] = HEX[bytes[i]];
  return parts.join(' ');
}

/** The classic dump (offset, bytes, printable ASCII) of the first `limit` bytes, `width` a line. */
export function hexDump(bytes, limit = bytes.length, width = 16) {
  const end = Math.min(limit, bytes.length);
  const lines = [];
  for (let at = 0; at < end; at += width) {
    let hex = '';
    let ascii = '';
    for (let i = 0; i < width; i += 1) {
      if (i === 8) hex += ' ';
      if (at + i < end) {
        const b = bytes[at + i];
        hex += ` ${HEX[b]}`;
        ascii += b >= 0x20 && b < 0x7f ? String.fromCharCode(b) : '·';
      } else {
        hex += '   ';
      }
    }
    lines.push(`${at.toString(16).padStart(6, '0')} ${hex}  ${ascii}`);
  }
  return lines.join('\n');
}

/** Is this text a JSON object or array? (A lone number or string gains nothing from being pretty.) */
export function isJson(text) {
  if (!/^\s*[[{]/.test(text)) return false;
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/**
 * Lays valid JSON out and names each piece, without changing a lexeme: big integers, `1.0` and
 * repeated keys stay as the peer sent them. Gives `{ pieces: [[kind, text], ...], used }`, where kind is `key`,
 * `string`, `number`, `word` or `` (punctuation), and `used` says how many characters of the source are in
 * them: at least `limit`, unless it is shorter; a piece is never cut.
 */
export function layOutJson(source, limit = Infinity) {
  const pieces = [];
  let depth = 0;
  let at = 0;
  const put = (kind, text) => pieces.push([kind, text]);
  const newline = () => put('', `\n${'  '.repeat(depth)}`);
  while (at < source.length && at < limit) {
    const c = source[at];
    if (/\s/.test(c)) {
      at += 1;
    } else if (c === '{' || c === '[') {
      const close = skipSpace(source, at + 1);
      if (source[close] === '}' || source[close] === ']') {
        put('', c + source[close]);
        at = close + 1;
      } else {
        put('', c);
        depth += 1;
        newline();
        at += 1;
      }
    } else if (c === '}' || c === ']') {
      depth -= 1;
      newline();
      put('', c);
      at += 1;
    } else if (c === ',') {
      put('', c);
      newline();
      at += 1;
    } else if (c === ':') {
      put('', ': ');
      at += 1;
    } else if (c === '"') {
      const end = stringEnd(source, at);
      put(source[skipSpace(source, end)] === ':' ? 'key' : 'string', source.slice(at, end));
      at = end;
    } else {
      let end = at + 1;
      while (end < source.length && !/[\s,\]}]/.test(source[end])) end += 1;
      put(/[-\d]/.test(c) ? 'number' : 'word', source.slice(at, end));
      at = end;
    }
  }
  return { pieces, used: at };
}

function skipSpace(source, from) {
  let at = from;
  while (at < source.length && /\s/.test(source[at])) at += 1;
  return at;
}

function stringEnd(source, from) {
  let at = from + 1;
  while (at < source.length && source[at] !== '"') at += source[at] === '\\' ? 2 : 1;
  return at + 1;
}
