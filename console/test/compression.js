// Compression with Chromium: what the page shows of it, and an echo of many messages. Needs a server with --compress.
// CORPUS names a file of messages: a list of objects with `text` or `binary` (hexadecimal).
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { chromium } from 'playwright-core';

import { FLAGS, GUARD, Server } from './server.js';

const server = await Server.fromEnvironment(process.env);
const corpus = process.env.CORPUS ? JSON.parse(readFileSync(process.env.CORPUS)) : [{ text: 'again and '.repeat(200) }];
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS });

/** Runs in the page: every message must come back as it was; answers what the browser says was agreed. */
async function echo([url, messages]) {
  const socket = new WebSocket(url);
  socket.binaryType = 'arraybuffer';
  const next = () => new Promise((resolve, reject) => {
    socket.onmessage = ({ data }) => resolve(data);
    socket.onclose = ({ code }) => reject(new Error(`closed with ${code}`));
  });
  await new Promise((resolve, reject) => {
    socket.onopen = resolve;
    socket.onerror = () => reject(new Error('no connection'));
  });
  const hex = (data) => Array.from(new Uint8Array(data), (byte) => byte.toString(16).padStart(2, '0')).join('');
  for (const { text, binary } of messages) {
    const answer = next();
    socket.send(text ?? Uint8Array.from(binary.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16)));
    const data = await answer;
    if (text === undefined ? hex(data) !== binary : data !== text) throw new Error('an echo is not what was sent');
  }
  const closed = new Promise((resolve) => { socket.onclose = resolve; });
  socket.close(1000);
  await closed;
  return socket.extensions;
}

const page = await browser.newPage({ locale: 'en-US' });
page.setDefaultTimeout(GUARD);
await page.goto(server.url);
await page.click('#connect');
await page.locator('.row.note', { hasText: 'Agreed on permessage-deflate' }).waitFor();
await page.waitForFunction(() => /\bcompressed\b/.test(document.querySelector('#state-detail').textContent));
await page.click('#connect');
await page.waitForSelector('body[data-state="idle"]');

const extensions = await page.evaluate(echo, [`${server.url.replace('http', 'ws')}ws?corpus`, corpus]);
assert.match(extensions, /^permessage-deflate\b/);
console.log(`${corpus.length} messages, ${extensions}`);
await browser.close();
await server.stop();
