// One WebSocket at a time, and the policy that brings it back.

const FIRST_DELAY = 500; // ms
const LONGEST_DELAY = 30_000; // ms
/** A connection that lasted this long (ms) proves the server well: the back-off starts anew. */
const STABLE = 10_000;

/**
 * RFC 6455 7.2.3: truncated exponential back-off. Half of the delay is random, so that the pages which
 * one restart has cut off do not come back in step.
 */
export function backOff(attempt, random = Math.random) {
  const full = Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** Math.min(attempt, 16));
  return Math.round(full / 2 + (random() * full) / 2);
}

/**
 * What a person typed as the address -> `{ url }` or `{ error }`, where `error` names a text of i18n.js.
 * A bare `host/path` gets the scheme of the page.
 */
export function parseAddress(typed, secure) {
  let text = typed.trim();
  if (!text) return { error: 'errAddressEmpty' };
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) text = `${secure ? 'wss' : 'ws'}://${text}`;
  text = text.replace(/^http(s?):/i, 'ws$1:');
  let url;
  try {
    url = new URL(text);
  } catch {
    return { error: 'errAddressBad' };
  }
  if (url.protocol !== 'ws:' && url.protocol !== 'wss:') return { error: 'errAddressScheme' };
  // RFC 6455 3: a WebSocket URI has no fragment.
  if (url.hash || text.includes('#')) return { error: 'errAddressFragment' };
  if (secure && url.protocol === 'ws:' && !isLoopback(url.hostname)) return { error: 'errAddressMixed' };
  return { url: url.href };
}

// Browsers let a secure page talk to these without TLS.
function isLoopback(host) {
  return host === 'localhost' || host.endsWith('.localhost') || host === '[::1]' || /^127(\.\d+){3}$/.test(host);
}

/** `chat, v2` -> `{ protocols: ['chat', 'v2'] }` or `{ error, found }`. */
export function parseProtocols(typed) {
  const protocols = typed.split(',').map((name) => name.trim()).filter(Boolean);
  // RFC 6455 4.1: each a token of RFC 7230, none twice.
  const bad = protocols.find((name) => !/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(name));
  if (bad !== undefined) return { error: 'errProtocolToken', found: bad };
  const twice = protocols.find((name, i) => protocols.indexOf(name) !== i);
  if (twice !== undefined) return { error: 'errProtocolTwice', found: twice };
  return { protocols };
}

/**
 * States: `idle`, `connecting`, `open`, `closing`, `waiting` (for the next attempt).
 * Events (all with `detail`): `state`, `open`, `message` {data}, `end` {code, reason, clean, opened, lasted},
 * `retry` {delay, attempt}, `failed` {message} when the browser refuses the request itself.
 */
export class Connection extends EventTarget {
  state = 'idle';
  reconnect = true;
  /** When the connection was opened and when the next attempt is due (ms, `performance.now()`). */
  since = 0;
  due = 0;
  attempt = 0;

  #socket = null;
  #timer = 0;
  #target = null;
  #wanted = false;

  /** Connects, in place of whatever was there before. */
  open(url, protocols) {
    this.#abandon();
    this.#target = { url, protocols };
    this.#wanted = true;
    this.attempt = 0;
    this.#dial();
  }

  /** Skips what is left of the wait. */
  retryNow() {
    if (this.state === 'waiting') this.#dial();
  }

  /** A person's wish to end: closes with 1000, or gives up the attempt or the wait. */
  close() {
    this.#wanted = false;
    clearTimeout(this.#timer);
    if (this.state === 'waiting') this.#become('idle');
    if (this.state !== 'open' && this.state !== 'connecting') return;
    this.#become('closing');
    this.#socket.close(1000);
  }

  /** Says whether the browser took the message. */
  send(data) {
    if (this.state !== 'open') return false;
    this.#socket.send(data);
    return true;
  }

  /** Bytes that the browser has not written yet. */
  get queued() {
    return this.#socket ? this.#socket.bufferedAmount : 0;
  }

  get protocol() {
    return this.#socket ? this.#socket.protocol : '';
  }

  /** What the server has agreed to (RFC 6455 9.1), such as `permessage-deflate`. */
  get extensions() {
    return this.#socket ? this.#socket.extensions : '';
  }

  get url() {
    return this.#target ? this.#target.url : '';
  }

  #dial() {
    clearTimeout(this.#timer);
    let socket;
    try {
      socket = new WebSocket(this.#target.url, this.#target.protocols);
    } catch (error) {
      this.#wanted = false;
      this.#become('idle');
      this.#emit('failed', { message: error.message });
      return;
    }
    socket.binaryType = 'arraybuffer';
    this.#socket = socket;
    this.since = 0;
    this.#become('connecting');
    // A socket that has been replaced may still speak: nobody listens to it.
    const mine = (handler) => (event) => {
      if (this.#socket === socket) handler(event);
    };
    socket.addEventListener('open', mine(() => this.#opened()));
    socket.addEventListener('message', mine((event) => this.#emit('message', { data: event.data })));
    socket.addEventListener('close', mine((event) => this.#ended(event)));
  }

  #opened() {
    this.since = performance.now();
    if (this.state === 'closing') return;
    this.#become('open');
    this.#emit('open');
  }

  #ended({ code, reason, wasClean }) {
    const opened = this.since > 0;
    const lasted = opened ? performance.now() - this.since : 0;
    this.#socket = null;
    if (lasted >= STABLE) this.attempt = 0;
    const again = this.#wanted && this.reconnect;
    if (!again) this.#become('idle');
    this.#emit('end', { code, reason, clean: wasClean, opened, lasted });
    if (again) this.#wait();
  }

  #wait() {
    const delay = backOff(this.attempt);
    this.attempt += 1;
    this.due = performance.now() + delay;
    this.#timer = setTimeout(() => this.#dial(), delay);
    this.#become('waiting');
    this.#emit('retry', { delay, attempt: this.attempt });
  }

  #abandon() {
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = null;
    if (socket) socket.close(1000);
  }

  #become(state) {
    this.state = state;
    this.#emit('state', { state });
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
