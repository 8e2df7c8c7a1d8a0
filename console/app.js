// Ties the parts to the page.

import { Connection, parseAddress, parseProtocols } from './connection.js';
import { formatSize, formatSpan, hexLine, parseHex, utf8Length } from './format.js';
import { exportParts, Filter, History, MAX_ENTRIES } from './history.js';
import { closeWords, isLanguage, language, preferredLanguage, setLanguage, t, translate } from './i18n.js';
import { Meter, polyline } from './rate.js';
import { eventWords, LogView, plainText } from './view.js';

const $ = (id) => document.getElementById(id);
const now = () => performance.now();
const second = () => Math.floor(now() / 1000);
const secure = location.protocol === 'https:';

/** Settings outlive the visit where the browser allows it (some refuse storage altogether). */
const settings = {
  read(name) {
    try {
      return localStorage.getItem(`wirelet.${name}`);
    } catch {
      return null;
    }
  },
  write(name, value) {
    try {
      localStorage.setItem(`wirelet.${name}`, value);
    } catch {
      // The setting holds for this visit.
    }
  },
};

const connection = new Connection();
const history = new History();
const view = new LogView(history, $('rows'), $('scroll'));
let received = new Meter(second());
let sent = new Meter(second());
/** How the last connection ended, for the line of state. */
let ended = null;

function record(kind, type, size, content) {
  history.add({ at: Date.now(), kind, type, size, ...content });
  view.schedule();
}

function note(key, params = {}, kind = 'note') {
  record(kind, 'event', 0, { key, params });
}

function message(kind, data) {
  const binary = typeof data !== 'string';
  const content = binary ? { bytes: new Uint8Array(data) } : { text: data };
  const size = binary ? content.bytes.length : utf8Length(data);
  (kind === 'in' ? received : sent).count(size, second());
  record(kind, binary ? 'binary' : 'text', size, content);
}

// ---- Connection ----

/** Messages that were sent before the connection was there. */
let pending = [];

function linkProblem(key, params) {
  $('link-error').textContent = key ? t(key, params) : '';
  $('link-error').hidden = !key;
  return !key;
}

function connect() {
  const address = parseAddress($('address').value, secure);
  $('address').setAttribute('aria-invalid', String(Boolean(address.error)));
  if (address.error) {
    $('address').focus();
    return linkProblem(address.error);
  }
  const list = parseProtocols($('protocols').value);
  $('protocols').setAttribute('aria-invalid', String(Boolean(list.error)));
  if (list.error) {
    $('protocols').focus();
    return linkProblem(list.error, list);
  }
  linkProblem(null);
  const protocols = list.protocols.join(', ');
  note(protocols ? 'evConnectingAs' : 'evConnecting', { url: address.url, protocols });
  connection.open(address.url, list.protocols);
  return true;
}

/** The big button: what it does is what it says. */
function toggleConnection() {
  if (connection.state === 'open' || connection.state === 'connecting') {
    connection.close();
  } else if (connection.state === 'waiting') {
    connection.retryNow();
  } else {
    connect();
  }
}

function stopWaiting() {
  connection.close();
  note('evStopped');
  giveUpPending();
}

function send(data) {
  if (connection.send(data)) {
    message('out', data);
    return true;
  }
  if (connection.state === 'waiting') connection.retryNow();
  else if (connection.state !== 'connecting' && !connect()) return false;
  pending.push(data);
  return true;
}

function giveUpPending() {
  for (let i = 0; i < pending.length; i += 1) note('evUnsent', {}, 'error');
  pending = [];
}

connection.addEventListener('state', () => renderState());
connection.addEventListener('open', () => {
  ended = null;
  note(connection.protocol ? 'evOpenAs' : 'evOpen', { protocol: connection.protocol });
  if (connection.extensions) note('evExtensions', { extensions: connection.extensions });
  const waiting = pending;
  pending = [];
  waiting.forEach(send);
  readStatus();
});
connection.addEventListener('message', ({ detail }) => message('in', detail.data));
connection.addEventListener('end', ({ detail }) => {
  ended = detail;
  const { code, reason, clean, opened, lasted } = detail;
  // The hint once is enough: the attempts that follow do not repeat it.
  const never = connection.attempt === 0 ? 'evNeverHint' : 'evNever';
  const key = !opened ? never : reason ? 'evEndReason' : 'evEnd';
  note(key, { code, reason, clean, opened, lasted }, clean ? 'note' : 'error');
  if (connection.state === 'idle') giveUpPending();
  if (opened) readStatus();
  renderState();
});
connection.addEventListener('retry', ({ detail }) => note('evRetry', detail));
connection.addEventListener('failed', ({ detail }) => {
  note('evFailed', detail, 'error');
  giveUpPending();
});
addEventListener('online', () => {
  if (connection.state !== 'waiting') return;
  note('evBackOnline');
  connection.retryNow();
});

function renderState() {
  const { state } = connection;
  document.body.dataset.state = state === 'idle' && ended && !ended.clean ? 'broken' : state;
  const names = { idle: 'stateIdle', connecting: 'stateConnecting', open: 'stateOpen', closing: 'stateClosing', waiting: 'stateWaiting' };
  $('state').textContent = t(names[state]);
  const tell = ended && (state === 'idle' || state === 'waiting');
  $('state-end').textContent = tell ? `${ended.code} ${closeWords(ended.code)}${ended.reason ? ` “${ended.reason}”` : ''}` : '';
  $('state-end').title = $('state-end').textContent;
  const verbs = { idle: 'connect', connecting: 'cancel', open: 'disconnect', closing: 'connect', waiting: 'connectNow' };
  $('connect').textContent = t(verbs[state]);
  $('stop').hidden = state !== 'waiting';
  $('send').textContent = t(state === 'idle' || state === 'closing' ? 'connectAndSend' : 'send');
  renderTick();
  renderBlank();
}

/** What changes with time alone: kept out of the live region, or a screen reader would never rest. */
function renderTick() {
  const at = second();
  const parts = [];
  if (connection.state === 'open') {
    parts.push(formatSpan(now() - connection.since));
    if (connection.protocol) parts.push(t('withProtocol', { protocol: connection.protocol }));
    if (connection.extensions.startsWith('permessage-deflate')) parts.push(t('compressed'));
    if (connection.queued) parts.push(t('queued', { size: formatSize(connection.queued) }));
  } else if (connection.state === 'waiting') {
    const seconds = Math.max(0, (connection.due - now()) / 1000).toFixed(1);
    parts.push(t('retryIn', { seconds, attempt: connection.attempt }));
  }
  setText('state-detail', parts.join(' · '));
  for (const [name, meter] of [['in', received], ['out', sent]]) {
    const rate = meter.rate(at);
    setText(`${name}-count`, meter.messages.toLocaleString(language()));
    setText(`${name}-size`, formatSize(meter.bytes));
    setText(`${name}-rate`, t('perSecond', { n: rate.messages.toLocaleString(language()) }));
    $(`${name}-rate`).title = t('perSecond', { n: formatSize(rate.bytes) });
  }
  renderSpark(at);
  renderServer();
}

function setText(id, text) {
  if ($(id).textContent !== text) $(id).textContent = text;
}

let sparkAt = -1;

function renderSpark(at) {
  if (at === sparkAt) return;
  sparkAt = at;
  const [incoming, outgoing] = [received.series(at), sent.series(at)];
  const top = Math.max(1, ...incoming, ...outgoing);
  // What comes in rises from the middle, what goes out hangs below: an echo would hide one behind the other.
  for (const [name, series, base, peak] of [['in', incoming, 13.5, 1], ['out', outgoing, 14.5, 27]]) {
    const line = series.some(Boolean) ? polyline(series, 118, base, peak, top) : '';
    $('spark').querySelector(`.${name}`).setAttribute('points', line);
  }
}

// ---- History ----

function renderBlank() {
  const filtered = view.filter.active && history.entries.length > 0;
  const empty = view.visible === 0;
  $('blank').hidden = !empty;
  $('unfilter').hidden = !filtered;
  $('blank-title').textContent = t(filtered ? 'nothingMatches' : 'emptyTitle');
  $('blank-text').textContent = filtered ? '' : t(connection.state === 'open' ? 'emptyOpen' : 'emptyIdle');
  $('blank-more').textContent = filtered ? '' : t('emptyAsync');
  $('forgotten').hidden = !history.forgotten;
  $('forgotten').textContent = t('forgotten', { n: history.forgotten });
  const unseen = view.unseen > 0 && !view.following;
  $('newest').hidden = !unseen;
  $('newest').textContent = `↓ ${t('newest', { n: view.unseen })}`;
  $('held').hidden = !history.paused;
  $('held').textContent = t(history.held >= MAX_ENTRIES ? 'heldFull' : 'held', { n: history.held });
}

view.addEventListener('change', renderBlank);
view.addEventListener('copy', ({ detail }) => copy(plainText(detail)));
view.addEventListener('edit', ({ detail }) => {
  setFormat(detail.type === 'binary' ? 'hex' : 'text');
  compose(plainText(detail));
});

function setPaused(paused) {
  if (paused) history.pause();
  else history.resume();
  $('pause').setAttribute('aria-pressed', String(paused));
  $('pause').textContent = t(paused ? 'resume' : 'pause');
  view.schedule();
}

function setPretty(on) {
  view.pretty = on;
  settings.write('pretty', on ? 'on' : 'off');
  $('pretty').setAttribute('aria-pressed', String(on));
}

function clear() {
  history.clear();
  received = new Meter(second());
  sent = new Meter(second());
  sparkAt = -1;
  view.rebuild();
  view.following = true;
  renderTick();
}

let filterTimer = 0;

function applyFilter() {
  clearTimeout(filterTimer);
  filterTimer = setTimeout(() => {
    view.filter = new Filter($('filter').value, document.querySelector('#kinds :checked').value);
    view.rebuild();
  }, 60);
}

function clearFilter() {
  $('filter').value = '';
  document.querySelector('#kinds [value=all]').checked = true;
  applyFilter();
}

function save(format) {
  const type = format === 'json' ? 'application/json' : 'application/x-ndjson';
  const blob = new Blob(exportParts(view.shownEntries(), format, eventWords, hexLine), { type });
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = `wirelet-${new Date().toISOString().slice(0, 19).replace(/[:T]/g, '-')}.${format}`;
  link.click();
  // The browser needs the object until it has begun to write the file.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

async function copy(text) {
  let done = false;
  try {
    await navigator.clipboard.writeText(text);
    done = true;
  } catch {
    // Devices are reached over plain http, where browsers keep the clipboard to themselves: the old way works.
    const area = document.createElement('textarea');
    const focused = document.activeElement;
    area.value = text;
    document.body.append(area);
    area.select();
    done = document.execCommand('copy');
    area.remove();
    focused.focus();
  }
  toast(t(done ? 'copied' : 'copyFailed'));
}

let toastTimer = 0;

function toast(text) {
  $('toast').textContent = text;
  $('toast').classList.add('on');
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => $('toast').classList.remove('on'), 1600);
}

// ---- Composer ----

/** What was sent from the composer, for the arrow keys. */
const past = [];
const PAST = 100;
let pastAt = 0;
let draft = '';

const format = () => document.querySelector('#formats :checked').value;

function setFormat(name) {
  document.querySelector(`#formats [value=${name}]`).checked = true;
  renderComposer();
}

function compose(text) {
  $('message').value = text;
  renderComposer();
  $('message').focus();
  $('message').setSelectionRange(text.length, text.length);
}

function hexProblem({ error, at, found }) {
  return error === 'digit' ? t('hexDigit', { at, found }) : t('hexOdd', { at });
}

function renderComposer(attempted = false) {
  const area = $('message');
  const hex = format() === 'hex';
  const parsed = hex ? parseHex(area.value) : null;
  const none = hex && !parsed.error && !parsed.bytes.length;
  // A lone digit at the end is somebody still typing, until they try to send it.
  const wrong = hex && (parsed.error === 'digit' || (attempted && (Boolean(parsed.error) || none)));
  area.placeholder = t(hex ? 'hexHint' : 'messageHint');
  area.setAttribute('aria-invalid', String(wrong));
  $('composer-note').classList.toggle('problem', wrong);
  if (wrong) $('composer-note').textContent = none ? t('hexEmpty') : hexProblem(parsed);
  else if (hex && parsed.bytes && !none) $('composer-note').textContent = t('bytesReady', { n: parsed.bytes.length });
  else $('composer-note').textContent = t('composerHint');
  area.style.height = 'auto';
  area.style.height = `${area.scrollHeight + 2}px`;
}

function submit() {
  const area = $('message');
  const text = area.value;
  let data = text;
  if (format() === 'hex') {
    const { bytes, error } = parseHex(text);
    if (error || !bytes.length) {
      renderComposer(true);
      area.focus();
      return;
    }
    data = bytes;
  }
  if (!send(data)) return;
  if (text && past.at(-1)?.text !== text) past.push({ text, format: format() });
  if (past.length > PAST) past.shift();
  pastAt = past.length;
  draft = '';
  area.value = '';
  renderComposer();
  view.toEnd();
}

/** -1 is one earlier, +1 one later; beyond the latest lies what was being written. */
function recall(step) {
  const to = pastAt + step;
  if (to < 0 || to > past.length) return;
  if (pastAt === past.length) draft = $('message').value;
  pastAt = to;
  if (to < past.length) setFormat(past[to].format);
  compose(to < past.length ? past[to].text : draft);
}

const quick = {
  async: () => send('Trigger async'),
  json: () => send(JSON.stringify({ type: 'ping', id: received.messages + 1, time: new Date().toISOString(), tags: ['demo', 'json'] })),
  bytes: () => send(Uint8Array.from({ length: 256 }, (_, i) => i)),
  burst: () => {
    for (let i = 1; i <= 100; i += 1) if (!send(`burst ${i} / 100`)) return;
  },
};

function composerKey(event) {
  // While an input method is composing, Enter and the arrows belong to it.
  if (event.isComposing || event.keyCode === 229 || event.altKey) return;
  const { value, selectionStart, selectionEnd } = $('message');
  if (event.key === 'Enter' && !event.shiftKey && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    submit();
  } else if (event.key === 'ArrowUp' && !event.shiftKey && !value.slice(0, selectionStart).includes('\n')) {
    event.preventDefault();
    recall(-1);
  } else if (event.key === 'ArrowDown' && !event.shiftKey && !value.slice(selectionEnd).includes('\n')) {
    event.preventDefault();
    recall(1);
  }
}

// ---- Server ----

const STATUS_EVERY = 10_000; // ms
let server = null;
let serverSilent = false;

/** `/status` of the page's own server, where there is one; not every server has it, and that is no error. */
async function readStatus() {
  if (serverSilent || !location.protocol.startsWith('http')) return;
  try {
    const response = await fetch('/status', { cache: 'no-store', headers: { accept: 'application/json' } });
    const status = response.ok && /json/.test(response.headers.get('content-type')) ? await response.json() : null;
    server = status && { ...status, read: now() };
    // A server that answers without a status will not have one later.
    serverSilent = server === null;
  } catch {
    // It is away, and may come back.
    server = null;
  }
  renderServer();
}

function renderServer() {
  const parts = [];
  if (server && typeof server.name === 'string') parts.push(`${server.name} ${server.version ?? ''}`.trim());
  if (server && Number.isFinite(server.uptime_ms)) {
    parts.push(t('serverUp', { span: formatSpan(server.uptime_ms + now() - server.read) }));
  }
  if (server && Number.isFinite(server.connections)) parts.push(t('serverConnections', { n: server.connections }));
  setText('server', parts.join(' · '));
  $('server').hidden = !parts.length;
}

// ---- Page ----

const THEMES = ['auto', 'light', 'dark'];
let theme = 'auto';

function setTheme(name) {
  theme = THEMES.includes(name) ? name : 'auto';
  settings.write('theme', theme);
  if (theme === 'auto') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  const words = t({ auto: 'themeAuto', light: 'themeLight', dark: 'themeDark' }[theme]);
  $('theme').title = words;
  $('theme').setAttribute('aria-label', words);
  $('theme').querySelector('use').setAttribute('href', `#theme-${theme}`);
}

function speak(name) {
  setLanguage(name);
  document.documentElement.lang = name === 'zh' ? 'zh-CN' : 'en';
  document.title = t('title');
  translate(document);
  linkProblem(null);
  setTheme(theme);
  setPaused(history.paused);
  renderComposer();
  renderState();
  view.rebuild();
}

const isField = (node) => node.matches('textarea, input:not([type=radio]):not([type=checkbox])');

const keys = {
  '/': () => $('filter').focus(),
  '?': () => $('shortcuts').showModal(),
  a: () => $('address').select(),
  c: toggleConnection,
  j: () => setPretty(!view.pretty),
  m: () => $('message').focus(),
  p: () => setPaused(!history.paused),
};

function escape(target) {
  if ($('save').open) {
    $('save').open = false;
    $('save').firstElementChild.focus();
  } else if (target === $('filter') && target.value) {
    clearFilter();
  } else if (isField(target) || target.closest('.row')) {
    $('scroll').focus({ preventScroll: true });
  }
}

function key(event) {
  if ($('shortcuts').open || event.isComposing || event.defaultPrevented) return;
  const control = event.ctrlKey || event.metaKey;
  if (control && event.key === 'Enter') {
    event.preventDefault();
    submit();
  } else if (event.ctrlKey && event.key.toLowerCase() === 'l') {
    event.preventDefault();
    clear();
  } else if (event.key === 'Escape') {
    // Chromium empties a search field by itself, but not the rest of the filter.
    event.preventDefault();
    escape(event.target);
  } else if (!control && !event.altKey && !isField(event.target) && Object.hasOwn(keys, event.key.toLowerCase())) {
    event.preventDefault();
    keys[event.key.toLowerCase()]();
  }
}

function listen() {
  $('link').addEventListener('submit', (event) => {
    event.preventDefault();
    toggleConnection();
  });
  $('stop').addEventListener('click', stopWaiting);
  // Enter in a field means: to this address, now, whatever the state.
  for (const id of ['address', 'protocols']) {
    $(id).addEventListener('keydown', (event) => {
      if (event.key !== 'Enter' || event.isComposing || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      if (connect()) $('message').focus();
    });
  }
  $('auto').addEventListener('change', () => {
    settings.write('reconnect', $('auto').checked ? 'on' : 'off');
    if (connection.state === 'waiting' && !$('auto').checked) stopWaiting();
    connection.reconnect = $('auto').checked;
  });
  $('filter').addEventListener('input', applyFilter);
  $('kinds').addEventListener('change', applyFilter);
  $('unfilter').addEventListener('click', clearFilter);
  $('pretty').addEventListener('click', () => setPretty(!view.pretty));
  $('pause').addEventListener('click', () => setPaused(!history.paused));
  $('clear').addEventListener('click', clear);
  $('newest').addEventListener('click', () => view.toEnd());
  $('save').addEventListener('click', ({ target }) => {
    if (!target.dataset.format) return;
    $('save').open = false;
    save(target.dataset.format);
  });
  document.addEventListener('click', ({ target }) => {
    if (!$('save').contains(target)) $('save').open = false;
  });
  $('composer').addEventListener('submit', (event) => {
    event.preventDefault();
    submit();
  });
  $('composer').addEventListener('click', ({ target }) => quick[target.dataset.quick]?.());
  $('formats').addEventListener('change', () => renderComposer());
  $('message').addEventListener('input', () => renderComposer());
  $('message').addEventListener('keydown', composerKey);
  $('language').addEventListener('click', () => {
    const name = language() === 'en' ? 'zh' : 'en';
    settings.write('language', name);
    speak(name);
  });
  $('theme').addEventListener('click', () => setTheme(THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length]));
  $('help').addEventListener('click', () => $('shortcuts').showModal());
  document.addEventListener('keydown', key);
}

function start() {
  const query = new URLSearchParams(location.search);
  const own = location.host || '127.0.0.1:8080';
  $('address').value = query.get('url') ?? `${secure ? 'wss' : 'ws'}://${own}/ws`;
  $('protocols').value = query.get('protocols') ?? '';
  $('auto').checked = settings.read('reconnect') !== 'off';
  connection.reconnect = $('auto').checked;
  theme = settings.read('theme') ?? 'auto';
  view.pretty = settings.read('pretty') === 'on';
  $('pretty').setAttribute('aria-pressed', String(view.pretty));
  const stored = settings.read('language');
  speak(isLanguage(stored) ? stored : preferredLanguage(navigator.languages));
  listen();
  // Not on touch screens, where it would pull the keyboard up.
  if (matchMedia('(hover: hover)').matches) $('message').focus();
  readStatus();
  setInterval(() => {
    if (!document.hidden) renderTick();
  }, 200);
  setInterval(() => {
    if (!document.hidden && connection.state === 'open') readStatus();
  }, STATUS_EVERY);
}

start();
