// Drives the page in a headless Chromium, as a person would. See README.md for how to run it.
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { chromium } from 'playwright-core';

import { FLAGS, GUARD, Server } from './server.js';

const FOLDER = join(import.meta.dirname, '..');
/** All files together, each compressed by itself as a server would send them. */
const BUDGET = 48 * 1024;
const SHOTS = process.env.WIRELET_SHOTS;
const POLICY = [
  "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'", "connect-src 'self' ws: wss:",
  "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
];

const server = await Server.fromEnvironment(process.env);
const host = new URL(server.url).host;
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS });
if (SHOTS) mkdirSync(SHOTS, { recursive: true });

const checks = [];
/** `options`: those of a browser context; `path` after the address; `allow`, a pattern of console errors that it provokes. */
const check = (name, options, run) => checks.push({ name, options, run });

/** A page in a context of its own that notes whatever a clean page must not do. */
async function open(options) {
  const { allow, path = '', ...rest } = options;
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, locale: 'en-US', ...rest });
  context.setDefaultTimeout(GUARD);
  const faults = [];
  await context.exposeFunction('noteViolation', (text) => faults.push(`policy: ${text}`));
  await context.addInitScript(() => document.addEventListener('securitypolicyviolation', (event) => {
    globalThis.noteViolation(`${event.violatedDirective} ${event.blockedURI}`);
  }));
  const page = await context.newPage();
  page.on('pageerror', (error) => faults.push(`exception: ${error.stack}`));
  page.on('console', (message) => {
    if (message.type() === 'error' && !allow?.test(message.text())) faults.push(`console: ${message.text()}`);
  });
  const outside = (url) => {
    if (!/^(data|blob):/.test(url) && new URL(url).host !== host) faults.push(`request to another host: ${url}`);
  };
  page.on('request', (request) => outside(request.url()));
  page.on('websocket', (socket) => outside(socket.url()));
  // Takes the place of the server at `url` (which no request reaches) and loads the page anew.
  const scripted = async (url, handler) => {
    await page.routeWebSocket(url, handler);
    await page.reload();
  };
  const response = await page.goto(server.url + path);
  await page.waitForFunction(() => document.querySelector('#state').textContent !== '');
  return { context, page, faults, response, scripted };
}

const rows = (page, kind, text) => page.locator(`.row${kind && `.${kind}`}:not([hidden])`, { hasText: text });
const state = (page, name) => page.waitForSelector(`body[data-state="${name}"]`);
/** Waits: what the page shows follows what it knows by a frame or a tick. */
const shows = (page, selector, text) => page.waitForFunction(
  ([where, what]) => document.querySelector(where).textContent === what, [selector, text],
);
const shot = (page, name) => (SHOTS ? page.screenshot({ path: join(SHOTS, `${name}.png`) }) : undefined);

async function connect(page) {
  await page.click('#connect');
  await state(page, 'open');
}

async function say(page, text) {
  await page.fill('#message', text);
  await page.press('#message', 'Enter');
}

async function traffic(page) {
  await say(page, 'Hello, wirelet!');
  await rows(page, 'in', 'Hello, wirelet!').waitFor();
  await page.click('[data-quick=async]');
  await rows(page, 'in', 'Async data').waitFor();
  await page.click('[data-quick=bytes]');
  await rows(page, 'in', '00 01 02').waitFor();
  await say(page, '你好，世界 · grüße');
  await rows(page, 'in', '你好').waitFor();
  await page.click('[data-quick=json]');
  await rows(page, 'in', '"ping"').waitFor();
}

check('the files fit the budget', {}, () => {
  const files = readdirSync(FOLDER).filter((name) => /\.(html|js|css|svg)$/.test(name));
  const sizes = files.map((name) => gzipSync(readFileSync(join(FOLDER, name)), { level: 9 }).length);
  const total = sizes.reduce((a, b) => a + b);
  console.log(`  ${files.length} files, ${total} of ${BUDGET} bytes`);
  assert.ok(total <= BUDGET, `${total} bytes`);
});

check('the policy is strict and nothing inline needs it softer', {}, async ({ response }) => {
  const policy = (response.headers()['content-security-policy'] ?? '').split(';').map((part) => part.trim());
  for (const part of POLICY) assert.ok(policy.includes(part), `missing: ${part}`);
  assert.doesNotMatch(await response.text(), /<style|<script(?![^>]*\ssrc=)|\sstyle=|\son\w+=/i);
});

check('own address, connect, text and echo, counters', {}, async ({ page }) => {
  assert.equal(await page.inputValue('#address'), `ws://${host}/ws`);
  await connect(page);
  await say(page, 'Hello, wirelet!');
  await rows(page, 'in', 'Hello, wirelet!').waitFor();
  assert.equal(await rows(page, 'out', 'Hello, wirelet!').count(), 1);
  await shows(page, '#in-count', '1');
  await shows(page, '#out-size', '15 B');
  await page.click('#clear');
  assert.equal(await page.textContent('#in-count'), '0');
  await page.waitForSelector('#blank:not([hidden])');
});

check('a first message connects by itself', {}, async ({ page }) => {
  await say(page, 'first');
  await rows(page, 'in', 'first').waitFor();
});

check('"Trigger async" is answered by "Async data"', {}, async ({ page }) => {
  await connect(page);
  await say(page, 'Trigger async');
  await rows(page, 'in', 'Async data').waitFor();
});

check('binary: hex input, its errors, the dump', {}, async ({ page }) => {
  await connect(page);
  await page.click('label:has([value=hex])');
  await page.fill('#message', '48 6g');
  assert.match(await page.textContent('#composer-note'), /Character 5: “g”/);
  await say(page, '48 6');
  assert.match(await page.textContent('#composer-note'), /3 digits/);
  assert.equal(await rows(page, 'out', '').count(), 0, 'nothing wrong is sent');
  await say(page, '0x00,0x48 65:6c-6c6f ff');
  const row = rows(page, 'in', '00 48 65 6c 6c 6f ff');
  await row.locator('.head').click();
  assert.match(await row.locator('pre').textContent(), /^000000 {2}00 48 65 6c 6c 6f ff {30}·Hello·$/);
  await shows(page, '#in-size', '7 B');
});

check('a text of 1 MiB comes back whole, and the page stays light', {}, async ({ page }) => {
  await connect(page);
  const big = 'wirelet-'.repeat(1 << 17);
  await say(page, big);
  const row = rows(page, 'in', 'wirelet-');
  await row.waitFor();
  await shows(page, '#in-size', '1 MiB');
  await row.locator('.head').click();
  assert.ok((await row.textContent()).length < 10_000, 'shows the beginning only');
  await row.locator('[data-action=more]').click();
  await row.locator('.more').waitFor({ state: 'detached' });
  assert.equal(await row.locator('pre').textContent(), big);
});

check('JSON: one message, all messages', {}, async ({ page }) => {
  await connect(page);
  await say(page, '{"id":12345678901234567890,"list":[1.0]}');
  const row = rows(page, 'in', '"id"');
  await row.locator('.head').click();
  assert.equal(await row.locator('pre').textContent(), '{\n  "id": 12345678901234567890,\n  "list": [\n    1.0\n  ]\n}');
  await row.locator('[data-view=text]').click();
  assert.equal(await row.locator('pre').textContent(), '{"id":12345678901234567890,"list":[1.0]}');
  await page.click('#pretty');
  await page.waitForFunction(() => document.querySelectorAll('.content.json').length === 2);
  await page.click('#pretty');
  await page.waitForFunction(() => document.querySelectorAll('.content').length === 0);
});

check('disconnect: 1000 in words', {}, async ({ page }) => {
  await connect(page);
  await page.click('#connect');
  await state(page, 'idle');
  await rows(page, 'note', '1000 normal closure, clean').waitFor();
  assert.match(await page.textContent('#state-end'), /1000 normal closure/);
});

check('a bad address or subprotocol is explained', {}, async ({ page }) => {
  for (const [field, value, words] of [
    ['#address', 'ftp://x/', /ws:\/\/ or wss:/], ['#address', 'ws://x/#y', /no “#”/], ['#address', '', /Type an address/],
  ]) {
    await page.fill(field, value);
    await page.press(field, 'Enter');
    assert.match(await page.textContent('#link-error'), words);
  }
  await page.fill('#address', `${host}/ws`);
  await page.fill('#protocols', 'a b');
  await page.press('#protocols', 'Enter');
  assert.match(await page.textContent('#link-error'), /“a b”/);
  await page.fill('#protocols', '');
  await page.press('#protocols', 'Enter');
  await state(page, 'open');
  assert.ok(await page.locator('#link-error').isHidden());
});

check('?url= takes the place of the own address', { path: '?url=ws://example.invalid/x' }, async ({ page }) => {
  assert.equal(await page.inputValue('#address'), 'ws://example.invalid/x');
});

const REFUSED = /WebSocket connection to|ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE/;

check('no server: 1006 in words, a countdown, and an end to it', { allow: REFUSED }, async ({ page }) => {
  // A path that no server of ours upgrades.
  await page.fill('#address', `ws://${host}/no-such-path`);
  await page.press('#address', 'Enter');
  await rows(page, 'error', 'No connection: 1006').first().waitFor();
  await page.waitForFunction(() => /in \d+\.\d s · attempt 2/.test(document.querySelector('#state-detail').textContent));
  await shot(page, 'retrying');
  await page.click('#auto + .track');
  await page.waitForSelector('body[data-state=broken]');
  await rows(page, 'note', 'Reconnecting stopped').waitFor();
});

if (server.owned) {
  check('server restart: 1001 or 1006 in words, then connected again', { allow: REFUSED }, async ({ page }) => {
    await connect(page);
    await server.stop();
    await page.waitForSelector('body[data-state=waiting]');
    await rows(page, '', /Closed after .*: 100(1 going away|6 abnormal)/).waitFor();
    await server.start();
    await state(page, 'open');
    await say(page, 'back again');
    await rows(page, 'in', 'back again').waitFor();
  });

  check('with the switch off it stays away', { allow: REFUSED }, async ({ page }) => {
    await page.click('#auto + .track');
    await connect(page);
    await server.stop();
    await page.waitForSelector('body[data-state=idle], body[data-state=broken]');
    assert.equal(await rows(page, '', 'Next attempt').count(), 0);
    await server.start();
  });
} else {
  console.log('- not run with WIRELET_URL: the two checks that restart the server');
}

check('close codes and reasons of a server, in words', { path: '?url=ws://scripted.invalid/' }, async ({ page, scripted }) => {
  // No echo server closes with these codes: here the page alone is under test.
  const ends = [[4001, 'bye'], [3000, ''], [1011, 'oops'], [1013, '']];
  await scripted('ws://scripted.invalid/', (socket) => {
    socket.onMessage(() => {
      const [code, reason] = ends.shift();
      socket.close({ code, reason });
    });
  });
  await page.click('#auto + .track');
  for (const words of ['4001 private to the application, clean; reason “bye”', '3000 unauthorized', '1011 internal error of the server, clean; reason “oops”', '1013 try again later']) {
    await say(page, 'end this');
    await rows(page, 'note', words).waitFor();
    await state(page, 'idle');
  }
});

check('the server is named where it says who it is, and asked once where it does not', { allow: /404/ }, async ({ page }) => {
  let asked = 0;
  let status = 200;
  await page.route('**/status', (route) => {
    asked += 1;
    return route.fulfill({ status, json: { name: 'other', version: '9', uptime_ms: 61_000, connections: 1 } });
  });
  await page.reload();
  await page.waitForFunction(() => /^other 9 · up 01:0\d · 1 connection$/.test(document.querySelector('#server').textContent));
  status = 404;
  await connect(page);
  await page.waitForFunction(() => document.querySelector('#server').hidden);
  await page.click('#connect');
  await state(page, 'idle');
  await connect(page);
  await say(page, 'still fine');
  await rows(page, 'in', 'still fine').waitFor();
  assert.equal(asked, 2);
});

check('what is unfolded stays unfolded', {}, async ({ page }) => {
  await say(page, 'unfold me');
  await rows(page, 'in', 'unfold me').locator('.head').click();
  await page.click('#language');
  await page.waitForFunction(() => document.querySelectorAll('.row.in.open').length === 1);
  await page.fill('#filter', 'unfold');
  await page.waitForFunction(() => document.querySelectorAll('.row.in.open mark').length === 1);
});

check('reading above, new messages do not move the list', {}, async ({ page }) => {
  await connect(page);
  await page.click('[data-quick=burst]');
  await rows(page, 'in', 'burst 100 / 100').waitFor();
  await page.evaluate(() => { document.querySelector('#scroll').scrollTop = 100; });
  await page.click('[data-quick=json]');
  await shows(page, '#newest', '↓ 2 new messages');
  assert.equal(await page.evaluate(() => document.querySelector('#scroll').scrollTop), 100);
  await page.click('#newest');
  await page.waitForSelector('#newest', { state: 'hidden' });
  assert.ok(await rows(page, 'in', '"ping"').isVisible());
});

check('a low window keeps the composer in sight', { viewport: { width: 360, height: 420 }, hasTouch: true, isMobile: true }, async ({ page }) => {
  const box = await page.locator('#send').boundingBox();
  assert.ok(box.y + box.height <= 420, `the button ends at ${box.y + box.height}`);
});

check('filter by content and direction', {}, async ({ page }) => {
  await connect(page);
  await traffic(page);
  await page.fill('#filter', 'WORLD');
  await page.waitForSelector('#blank:not([hidden])');
  await page.fill('#filter', '世界');
  await page.waitForFunction(() => document.querySelectorAll('.row:not([hidden])').length === 2);
  assert.equal(await page.locator('mark').first().textContent(), '世界');
  await page.fill('#filter', '0e 0f 10');
  await page.waitForFunction(() => document.querySelectorAll('.row:not([hidden])').length === 2);
  await page.click('#kinds label:has([value=in])');
  await page.waitForFunction(() => document.querySelectorAll('.row:not([hidden])').length === 1);
  await page.press('#filter', 'Escape');
  await page.waitForFunction(() => document.querySelectorAll('.row[hidden]').length === 0);
});

check('pause counts and keeps, resume shows', {}, async ({ page }) => {
  await connect(page);
  await page.click('#pause');
  await say(page, 'while paused');
  await shows(page, '#held', '2 messages wait');
  await shows(page, '#in-count', '1');
  assert.equal(await rows(page, 'in', 'while paused').count(), 0);
  await shot(page, 'paused');
  await page.click('#pause');
  await rows(page, 'in', 'while paused').waitFor();
});

check('the history is bounded', {}, async ({ page }) => {
  await connect(page);
  for (let i = 0; i < 11; i += 1) await page.click('[data-quick=burst]');
  await shows(page, '#in-count', '1,100');
  await page.waitForFunction(() => document.querySelectorAll('.row').length === 2000);
  // Connecting, connected, and what was agreed on compression, if anything.
  const events = /compressed/.test(await page.textContent('#state-detail')) ? 3 : 2;
  assert.match(await page.textContent('#forgotten'), new RegExp(`^The ${200 + events} oldest messages were dropped`));
  await rows(page, 'in', 'burst 100 / 100').last().waitFor();
});

check('save and copy', { permissions: ['clipboard-read', 'clipboard-write'] }, async ({ page }) => {
  await connect(page);
  await traffic(page);
  for (const format of ['json', 'ndjson']) {
    await page.click('#save summary');
    const [download] = await Promise.all([page.waitForEvent('download'), page.click(`[data-format=${format}]`)]);
    assert.match(download.suggestedFilename(), new RegExp(`^wirelet-.*\\.${format}$`));
    const saved = readFileSync(await download.path(), 'utf8');
    const list = format === 'json' ? JSON.parse(saved) : saved.trimEnd().split('\n').map(JSON.parse);
    assert.ok(list.some((record) => record.kind === 'in' && record.text === 'Async data'));
    assert.ok(list.some((record) => record.type === 'binary' && record.size === 256 && record.hex.endsWith('fe ff')));
  }
  await rows(page, 'in', '你好').locator('.head').click();
  await rows(page, 'in', '你好').locator('[data-action=copy]').click();
  await page.waitForSelector('#toast.on');
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), '你好，世界 · grüße');
});

check('copy where the browser keeps its clipboard back', {}, async ({ page }) => {
  await page.evaluate(() => Object.defineProperty(navigator, 'clipboard', { value: undefined }));
  await say(page, 'the old way');
  await rows(page, 'in', 'the old way').locator('.head').focus();
  await page.keyboard.press('y');
  await shows(page, '#toast', 'Copied');
  await page.keyboard.press('m');
  await page.keyboard.press('Control+V');
  assert.equal(await page.inputValue('#message'), 'the old way');
});

check('keyboard alone', {}, async ({ page }) => {
  const keys = page.keyboard;
  await keys.press('Escape');
  await keys.press('c');
  await state(page, 'open');
  await keys.press('m');
  await keys.type('one');
  await keys.press('Shift+Enter');
  await keys.type('two');
  await keys.press('Enter');
  await rows(page, 'in', 'one↵two').waitFor();
  await keys.type('three');
  await keys.press('Escape');
  await keys.press('Control+Enter');
  await rows(page, 'in', 'three').waitFor();
  await keys.press('m');
  await keys.type('draft');
  await keys.press('ArrowUp');
  assert.equal(await page.inputValue('#message'), 'three');
  await keys.press('ArrowUp');
  await keys.press('Home');
  await keys.press('ArrowUp');
  assert.equal(await page.inputValue('#message'), 'one\ntwo');
  await keys.press('End');
  await keys.press('ArrowDown');
  assert.equal(await page.inputValue('#message'), 'one\ntwo', 'first through the lines');
  await keys.press('ArrowDown');
  await keys.press('ArrowDown');
  assert.equal(await page.inputValue('#message'), 'draft');
  await keys.press('Escape');
  await keys.press('ArrowUp');
  await keys.press('Enter');
  await page.waitForFunction(() => document.querySelector('.row:last-child.open pre').textContent === 'three');
  await keys.press('Enter');
  await page.waitForFunction(() => document.querySelectorAll('.row.open').length === 0);
  await keys.press('/');
  await keys.type('two');
  await page.waitForFunction(() => document.querySelectorAll('.row:not([hidden])').length === 2);
  await keys.press('Escape');
  await keys.press('Escape');
  await keys.press('p');
  assert.equal(await page.getAttribute('#pause', 'aria-pressed'), 'true');
  await keys.press('p');
  await keys.press('?');
  await page.waitForSelector('#shortcuts[open]');
  await shot(page, 'help');
  await keys.press('Escape');
  await page.waitForSelector('#shortcuts:not([open])', { state: 'attached' });
  await keys.press('Control+L');
  await page.waitForFunction(() => document.querySelectorAll('.row').length === 0);
  await keys.press('c');
  await state(page, 'idle');
});

check('an input method keeps its Enter', {}, async ({ page }) => {
  await connect(page);
  await page.fill('#message', '你');
  await page.dispatchEvent('#message', 'keydown', { key: 'Enter', isComposing: true });
  assert.equal(await page.inputValue('#message'), '你');
});

check('Chinese by the browser, English by the switch, remembered', { locale: 'zh-CN' }, async ({ page }) => {
  assert.equal(await page.textContent('#connect'), '连接');
  assert.equal(await page.getAttribute('html', 'lang'), 'zh-CN');
  await connect(page);
  await page.click('#connect');
  await rows(page, 'note', '1000 正常关闭').waitFor();
  await page.click('#language');
  await rows(page, 'note', '1000 normal closure').waitFor();
  await page.reload();
  await shows(page, '#connect', 'Connect');
});

check('colours by the system, and by the switch', { colorScheme: 'dark' }, async ({ page }) => {
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const dark = await ground();
  await page.emulateMedia({ colorScheme: 'light' });
  const light = await ground();
  assert.notEqual(dark, light);
  await page.click('#theme');
  await page.click('#theme');
  assert.equal(await ground(), dark, 'dark by choice looks like dark by the system');
  await page.reload();
  await page.waitForFunction(() => document.documentElement.dataset.theme === 'dark');
  assert.equal(await ground(), dark);
});

for (const colorScheme of ['light', 'dark']) {
  check(`contrast, ${colorScheme}`, { colorScheme }, async ({ page }) => {
    const low = await page.evaluate(() => {
      const style = getComputedStyle(document.documentElement);
      const probe = document.createElement('i');
      document.body.append(probe);
      const luminance = (name) => {
        probe.style.color = style.getPropertyValue(name);
        const [r, g, b] = getComputedStyle(probe).color.match(/[\d.]+/g).map((v) => {
          const c = v / 255;
          return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
      };
      const contrast = (a, b) => {
        const [x, y] = [luminance(a), luminance(b)].sort((p, q) => q - p);
        return (x + 0.05) / (y + 0.05);
      };
      const pairs = [['--on-accent', '--accent']];
      for (const ink of ['--ink', '--soft', '--in', '--out', '--error', '--warn', '--accent']) {
        for (const under of ['--card', '--ground', '--hover', '--well']) pairs.push([ink, under]);
      }
      return pairs.map(([a, b]) => [`${a} on ${b}`, contrast(a, b)]).filter(([, ratio]) => ratio < 4.5);
    });
    assert.deepEqual(low, []);
  });
}

check('every control has a name', {}, async ({ page }) => {
  await connect(page);
  await say(page, '{"a":1}');
  await rows(page, 'in', '"a"').locator('.head').click();
  const nameless = await page.evaluate(() => [...document.querySelectorAll('button, input, textarea, summary, [role=img]')]
    .filter((node) => !(node.getAttribute('aria-label') || node.textContent.trim() || node.labels?.[0]?.textContent.trim()))
    .map((node) => node.outerHTML));
  assert.deepEqual(nameless, []);
});

for (const [name, options] of Object.entries({
  'desktop-light-en': { colorScheme: 'light' },
  'desktop-dark-zh': { colorScheme: 'dark', locale: 'zh-CN' },
  'phone-light-zh': { colorScheme: 'light', locale: 'zh-CN', viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true },
  'phone-dark-en': { colorScheme: 'dark', viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true },
})) {
  check(`layout, ${name}`, options, async ({ page }) => {
    await shot(page, `${name}-empty`);
    await connect(page);
    await traffic(page);
    await rows(page, 'in', '00 01 02').locator('.head').click();
    await rows(page, 'in', '"ping"').locator('.head').click();
    await shot(page, name);
    // The end of the list is in sight, or the head of what was unfolded where that is taller than the list.
    await page.waitForFunction(() => {
      const list = document.querySelector('#scroll');
      const { scrollHeight, scrollTop, clientHeight } = list;
      const head = document.querySelector('.row:last-child .head').getBoundingClientRect();
      const top = Math.abs(head.top - list.getBoundingClientRect().top);
      return scrollHeight - scrollTop - clientHeight < 2 || top < 2;
    });
    const [wide, room] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert.ok(wide <= room, `${wide} px in a window of ${room}`);
    for (const id of ['#connect', '#send', '#clear', '#pause']) {
      const box = await page.locator(id).boundingBox();
      assert.ok(box.x >= 0 && box.x + box.width <= room, `${id} sticks out`);
    }
  });
}

let failed = 0;
for (const { name, options, run } of checks) {
  const { context, page, faults, response, scripted } = await open(options);
  try {
    await run({ page, response, scripted });
    assert.deepEqual(faults, []);
    console.log(`ok ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED ${name}\n${error.stack}\n${faults.join('\n')}`);
    await shot(page, `failed-${failed}`);
  }
  await context.close();
}
await browser.close();
await server.stop();
console.log(`${checks.length - failed} passed, ${failed} failed`);
process.exitCode = failed ? 1 : 0;
