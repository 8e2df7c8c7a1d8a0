// The list of messages. Only the newest frame's worth of work is done in a frame, whatever the traffic.

import { formatClock, formatSize, formatSpan, hexDump, hexLine, isJson, layOutJson } from './format.js';
import { closeWords, t } from './i18n.js';
import { Filter } from './history.js';

const PREVIEW_CHARS = 240;
const PREVIEW_BYTES = 32;
/** What an unfolded message shows at first, and how much more each further press brings. */
const FIRST = { text: 4096, json: 8192, hex: 1024 };
const STEP = { text: 1 << 20, json: 1 << 17, hex: 1 << 18 };
/** Within this many pixels of the end the list follows new messages. */
const NEAR_END = 48;

/** An event's text in the language of the page. */
export function eventWords({ key, params = {} }) {
  if (!params.code) return t(key, withTimes(params));
  const words = `${params.code} ${closeWords(params.code)}`;
  if (!params.opened) return t(key, { words, hint: t('neverHint') });
  return t(key, { ...withTimes(params), words: `${words}, ${t(params.clean ? 'clean' : 'unclean')}` });
}

function withTimes(params) {
  return {
    ...params,
    ...(params.lasted !== undefined && { span: formatSpan(params.lasted) }),
    ...(params.delay !== undefined && { seconds: (params.delay / 1000).toFixed(1) }),
  };
}

/** What copying an entry yields. */
export function plainText(entry) {
  if (entry.type === 'event') return eventWords(entry);
  return entry.type === 'binary' ? hexLine(entry.bytes) : entry.text;
}

function element(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

/** Control characters made visible, so that a line of the list stays a line. */
function oneLine(text) {
  return text.replace(/\r?\n/g, '↵').replace(/[\0-\x1f]/g, (c) => String.fromCharCode(0x2400 + c.charCodeAt(0)));
}

export class LogView extends EventTarget {
  filter = new Filter();
  /** True while the list follows its newest entry. */
  following = true;
  /** New entries below the fold. */
  unseen = 0;

  #history;
  #list;
  #scroll;
  #rows = new Map(); // id -> { entry, row, body?, open?, view?, limit? }
  /** What a person folded or unfolded (entry -> open): it outlives a rebuild. */
  #byHand = new WeakMap();
  #pretty = false;
  #last = 0;
  #seen = 0;
  #frame = 0;

  constructor(history, list, scroll) {
    super();
    this.#history = history;
    this.#list = list;
    this.#scroll = scroll;
    scroll.addEventListener('scroll', () => this.#scrolled(), { passive: true });
    // The end stays in sight when a taller composer takes room from the list, and when rows that come into
    // sight turn out taller than the style sheet guessed.
    const sizes = new ResizeObserver(() => {
      if (this.following) scroll.scrollTop = scroll.scrollHeight;
    });
    sizes.observe(scroll);
    sizes.observe(list);
    list.addEventListener('click', (event) => this.#clicked(event));
    scroll.addEventListener('keydown', (event) => this.#key(event));
  }

  /** Rows that the filter lets through. */
  get visible() {
    let n = 0;
    for (const { row } of this.#rows.values()) n += row.hidden ? 0 : 1;
    return n;
  }

  shownEntries() {
    return this.#history.entries.filter((entry) => this.filter.matches(entry, eventWords));
  }

  /** Asks for a frame in which the list catches up with the history. */
  schedule() {
    if (!this.#frame) this.#frame = requestAnimationFrame(() => this.#flush());
  }

  get pretty() {
    return this.#pretty;
  }

  /** Whether JSON unfolds by itself. Setting it takes back what was folded by hand. */
  set pretty(on) {
    this.#pretty = on;
    this.#byHand = new WeakMap();
    this.rebuild();
  }

  /** Everything anew: after a change of language, filter or global view. */
  rebuild() {
    this.#rows.clear();
    this.#list.replaceChildren();
    this.#last = 0;
    this.unseen = 0;
    this.schedule();
  }

  toEnd() {
    this.following = true;
    this.unseen = 0;
    this.#scroll.scrollTop = this.#scroll.scrollHeight;
    this.#changed();
  }

  #flush() {
    this.#frame = 0;
    const { entries } = this.#history;
    const first = entries.length ? entries[0].id : Infinity;
    for (const [id, state] of this.#rows) {
      if (id >= first) break;
      state.row.remove();
      this.#rows.delete(id);
    }
    const fresh = document.createDocumentFragment();
    let from = entries.length;
    while (from > 0 && entries[from - 1].id > this.#last) from -= 1;
    for (const entry of entries.slice(from)) {
      const state = this.#row(entry);
      fresh.append(state.row);
      if (!this.following && !state.row.hidden && entry.id > this.#seen) this.unseen += 1;
      this.#last = entry.id;
    }
    this.#seen = Math.max(this.#seen, this.#last);
    this.#list.append(fresh);
    if (this.following) this.#scroll.scrollTop = this.#scroll.scrollHeight;
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event('change'));
  }

  #scrolled() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroll;
    this.following = scrollHeight - scrollTop - clientHeight < NEAR_END;
    if (this.following && this.unseen) {
      this.unseen = 0;
      this.#changed();
    }
  }

  #row(entry) {
    const row = element('li', `row ${entry.kind}`);
    row.dataset.id = entry.id;
    const state = { entry, row };
    this.#rows.set(entry.id, state);
    const head = element('div', 'head');
    head.tabIndex = -1;
    const time = element('time', 'time', formatClock(entry.at));
    time.dateTime = new Date(entry.at).toISOString();
    const words = { in: 'dirIn', out: 'dirOut', note: 'dirNote', error: 'dirError' }[entry.kind];
    const arrow = element('span', 'arrow', { in: '↓', out: '↑', note: '·', error: '!' }[entry.kind]);
    arrow.setAttribute('role', 'img');
    arrow.setAttribute('aria-label', t(words));
    arrow.title = t(words);
    head.append(time, arrow, element('span', 'type', t(entry.type)));
    head.append(element('span', 'size', entry.type === 'event' ? '' : formatSize(entry.size)), this.#preview(entry));
    row.append(head);
    row.hidden = this.filter.active && !this.filter.matches(entry, eventWords);
    if (entry.type !== 'event') {
      head.setAttribute('role', 'button');
      head.setAttribute('aria-expanded', 'false');
      const open = this.#byHand.get(entry) ?? (this.#pretty && entry.type === 'text' && isJson(entry.text));
      if (open) this.#open(state, true);
    }
    return state;
  }

  #preview(entry) {
    const node = element('span', 'preview');
    if (entry.type === 'event') {
      node.textContent = eventWords(entry);
    } else if (entry.size === 0) {
      node.append(element('i', '', t('empty')));
    } else if (entry.type === 'binary') {
      this.#previewBytes(node, entry.bytes);
    } else {
      this.#previewText(node, entry.text);
    }
    return node;
  }

  /** The beginning of the text, or the neighbourhood of what the filter looks for, which is marked. */
  #previewText(node, text) {
    const hit = this.filter.pattern ? this.filter.pattern.exec(text) : null;
    const start = hit && hit.index > PREVIEW_CHARS / 2 ? hit.index - 24 : 0;
    const end = start + PREVIEW_CHARS;
    const cut = (from, to) => oneLine(text.slice(from, to));
    if (start) node.append('… ');
    if (hit) {
      const after = hit.index + hit[0].length;
      node.append(cut(start, hit.index), element('mark', '', cut(hit.index, after)), cut(after, Math.max(end, after)));
    } else {
      node.append(cut(start, end));
    }
    if (end < text.length) node.append(' …');
  }

  #previewBytes(node, bytes) {
    const hit = this.filter.find(bytes);
    const start = hit && hit.at > PREVIEW_BYTES / 2 ? hit.at - 4 : 0;
    const end = start + PREVIEW_BYTES;
    const cut = (from, to) => hexLine(bytes.subarray(from, to));
    if (start) node.append('… ');
    if (hit) {
      const after = hit.at + hit.length;
      node.append(cut(start, hit.at), hit.at > start ? ' ' : '', element('mark', '', cut(hit.at, after)), ' ');
      node.append(cut(after, Math.max(end, after)));
    } else {
      node.append(cut(start, end));
    }
    if (end < bytes.length) node.append(' …');
  }

  #open(state, open) {
    const { entry, row } = state;
    row.classList.toggle('open', open);
    row.firstChild.setAttribute('aria-expanded', String(open));
    if (!open) {
      state.body.remove();
      state.body = null;
      return;
    }
    state.view ??= entry.type === 'binary' ? 'hex' : isJson(entry.text) ? 'json' : 'text';
    state.limit ??= FIRST[state.view];
    state.body = element('div', 'body');
    row.append(state.body);
    this.#fill(state);
  }

  #fill(state) {
    const { entry, body, view } = state;
    const tools = element('div', 'tools');
    const views = element('div', 'segments');
    views.setAttribute('role', 'group');
    views.setAttribute('aria-label', t('view'));
    for (const name of viewsOf(entry)) {
      const button = element('button', '', t({ text: 'viewText', json: 'viewJson', hex: 'viewHex' }[name]));
      button.type = 'button';
      button.dataset.view = name;
      button.setAttribute('aria-pressed', String(name === view));
      views.append(button);
    }
    tools.append(views);
    for (const [action, key] of [['copy', 'copy'], ['edit', 'edit']]) {
      const button = element('button', 'quiet', t(key));
      button.type = 'button';
      button.dataset.action = action;
      tools.append(button);
    }
    const { node, shown, total } = content(entry, view, state.limit);
    node.tabIndex = 0;
    body.replaceChildren(tools, node);
    if (shown < total) body.append(moreLine(shown, total, view));
  }

  #state(target) {
    const row = target.closest('.row');
    return row ? this.#rows.get(Number(row.dataset.id)) : undefined;
  }

  #clicked({ target }) {
    const state = this.#state(target);
    if (!state) return;
    const button = target.closest('button');
    if (button && button.dataset.view) {
      state.view = button.dataset.view;
      state.limit = FIRST[state.view];
      this.#fill(state);
      state.body.querySelector(`[data-view=${state.view}]`).focus();
    } else if (button && button.dataset.action === 'more') {
      state.limit = state.limit < STEP[state.view] ? STEP[state.view] : state.limit + STEP[state.view];
      this.#fill(state);
      state.body.querySelector('pre').focus({ preventScroll: true });
    } else if (button) {
      this.#act(button.dataset.action, state.entry);
    } else if (target.closest('.head') && state.entry.type !== 'event' && getSelection().isCollapsed) {
      this.#toggle(state);
    }
  }

  /** By hand: what unfolds is brought into sight, and its head stays there. */
  #toggle(state) {
    this.#open(state, !state.body);
    this.#byHand.set(state.entry, Boolean(state.body));
    if (!state.body) return;
    state.row.scrollIntoView({ block: 'nearest' });
    state.row.firstChild.scrollIntoView({ block: 'nearest' });
  }

  #act(action, entry) {
    this.dispatchEvent(new CustomEvent(action, { detail: entry }));
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { target } = event;
    const head = target.closest('.head');
    if (!head && target !== this.#scroll) return;
    const state = head && this.#state(head);
    const steps = { ArrowUp: -1, ArrowDown: 1, Home: -Infinity, End: Infinity };
    if (event.key in steps) {
      this.#walk(state, steps[event.key]);
    } else if (state && (event.key === 'Enter' || event.key === ' ') && state.entry.type !== 'event') {
      this.#toggle(state);
    } else if (state && event.key.toLowerCase() === 'y') {
      this.#act('copy', state.entry);
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  /** From no row at all the walk begins at the newest. */
  #walk(state, step) {
    const rows = [...this.#rows.values()].filter(({ row }) => !row.hidden);
    if (!rows.length) return;
    const at = state ? rows.indexOf(state) + step : rows.length - 1;
    const next = rows[Math.max(0, Math.min(rows.length - 1, step === -Infinity ? 0 : at))].row.firstChild;
    next.focus({ preventScroll: true });
    next.scrollIntoView({ block: 'nearest' });
  }
}

function viewsOf(entry) {
  if (entry.type === 'binary') return ['hex', 'text'];
  return isJson(entry.text) ? ['json', 'text', 'hex'] : ['text', 'hex'];
}

/** Gives `{ node, shown, total }`, the last two in characters of the text or in bytes. */
function content(entry, view, limit) {
  const node = element('pre', `content ${view}`);
  if (view === 'hex') {
    const bytes = entry.bytes ?? new TextEncoder().encode(entry.text);
    node.textContent = hexDump(bytes, limit, matchMedia('(max-width: 640px)').matches ? 8 : 16);
    return { node, shown: Math.min(limit, bytes.length), total: bytes.length };
  }
  const text = entry.text ?? new TextDecoder().decode(entry.bytes);
  if (view === 'json') {
    const { pieces, used } = layOutJson(text, limit);
    for (const [kind, piece] of pieces) node.append(kind ? element('span', kind, piece) : piece);
    return { node, shown: used, total: text.length };
  }
  // Half of a surrogate pair would show as a broken character.
  const end = /[\ud800-\udbff]/.test(text[limit - 1] ?? '') ? limit - 1 : limit;
  node.textContent = text.slice(0, end);
  return { node, shown: Math.min(end, text.length), total: text.length };
}

function moreLine(shown, total, view) {
  const line = element('p', 'more', t('showing', { shown: formatSize(shown), size: formatSize(total) }));
  const rest = total - shown;
  const button = element('button', '', rest <= STEP[view]
    ? t('showAll', { size: formatSize(total) })
    : t('showMore', { size: formatSize(STEP[view]) }));
  button.type = 'button';
  button.dataset.action = 'more';
  line.append(button);
  return line;
}
