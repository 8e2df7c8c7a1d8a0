// The parts that need no browser. Run with `node units.js`; browser.js does the rest.
import assert from 'node:assert/strict';
import test from 'node:test';

import { backOff, parseAddress, parseProtocols } from '../connection.js';
import { formatSize, formatSpan, hexDump, hexLine, isJson, layOutJson, parseHex } from '../format.js';
import { exportParts, Filter, History } from '../history.js';
import { closeWords, dictionaries, preferredLanguage, setLanguage, t } from '../i18n.js';
import { Meter, polyline } from '../rate.js';

const text = (content, kind = 'in') => ({ at: 0, kind, type: 'text', size: content.length, text: content });
const binary = (...bytes) => ({ at: 0, kind: 'in', type: 'binary', size: bytes.length, bytes: Uint8Array.from(bytes) });

test('sizes and spans', () => {
  assert.deepEqual([0, 1023, 1024, 1536, 1 << 20, 200 * 1024].map(formatSize), ['0 B', '1023 B', '1 KiB', '1.5 KiB', '1 MiB', '200 KiB']);
  assert.deepEqual([0, 61_000, 3_723_000, 90_061_000].map(formatSpan), ['00:00', '01:01', '1:02:03', '1d 01:01:01']);
});

test('hex as people write it', () => {
  for (const good of ['48 65', '4865', '0x48,0x65', '48:65', '48-65', ' 48\n65 ', '0X48 0x65', '0x4865']) {
    assert.deepEqual([...parseHex(good).bytes], [0x48, 0x65], good);
  }
  assert.deepEqual([...parseHex('00 0a').bytes], [0, 10]);
  assert.equal(parseHex('').bytes.length, 0);
  assert.deepEqual(parseHex('48 6'), { error: 'odd', at: 3 });
  assert.deepEqual(parseHex('48 6g'), { error: 'digit', at: 5, found: 'g' });
  assert.deepEqual(parseHex('40x5'), { error: 'digit', at: 3, found: 'x' }, 'a prefix begins a byte');
  assert.deepEqual(parseHex('4😀'), { error: 'digit', at: 2, found: '😀' });
});

test('hex for reading', () => {
  const bytes = Uint8Array.from({ length: 18 }, (_, i) => i + 0x40);
  assert.equal(hexLine(bytes, 3), '40 41 42');
  assert.deepEqual(hexDump(bytes).split('\n'), [
    '000000  40 41 42 43 44 45 46 47  48 49 4a 4b 4c 4d 4e 4f  @ABCDEFGHIJKLMNO',
    `000010  50 51${'   '.repeat(6)} ${'   '.repeat(8)}  PQ`,
  ]);
  assert.equal(hexDump(bytes, 4).split('\n').length, 1);
});

test('JSON keeps every lexeme', () => {
  const laid = (source) => layOutJson(source).pieces.map(([, piece]) => piece).join('');
  assert.equal(laid('{"a":12345678901234567890,"a":1.0,"b":[],"c":{ },"d":["x",null]}'), [
    '{', '  "a": 12345678901234567890,', '  "a": 1.0,', '  "b": [],', '  "c": {},', '  "d": [', '    "x",', '    null', '  ]', '}',
  ].join('\n'));
  const tricky = '{"q\\"\\\\":"a:{,}[]\\u0022","e":-1.5e+3,"t":true}';
  assert.deepEqual(JSON.parse(laid(tricky)), JSON.parse(tricky));
  const kinds = layOutJson('{"k":"v","n":1,"w":null}').pieces.map(([kind]) => kind).filter(Boolean);
  assert.deepEqual(kinds, ['key', 'string', 'key', 'number', 'key', 'word']);
  const cut = layOutJson(JSON.stringify(Array.from({ length: 1000 }, (_, i) => i)), 100);
  assert.ok(cut.used >= 100 && cut.used < 110);
  assert.ok(isJson(' [1]') && !isJson('1') && !isJson('{') && !isJson('"x"') && !isJson('hello'));
});

test('addresses', () => {
  const url = (typed, secure = false) => parseAddress(typed, secure).url;
  assert.equal(url('ws://h:1/ws'), 'ws://h:1/ws');
  assert.equal(url(' h:8080/ws '), 'ws://h:8080/ws');
  assert.equal(url('h/ws', true), 'wss://h/ws');
  assert.equal(url('https://h/ws'), 'wss://h/ws');
  assert.equal(url('ws://127.0.0.1:1/', true), 'ws://127.0.0.1:1/');
  const error = (typed, secure = false) => parseAddress(typed, secure).error;
  assert.equal(error(''), 'errAddressEmpty');
  assert.equal(error('ws://'), 'errAddressBad');
  assert.equal(error('ftp://h/'), 'errAddressScheme');
  assert.equal(error('ws://h/#f'), 'errAddressFragment');
  assert.equal(error('ws://h/#'), 'errAddressFragment');
  assert.equal(error('ws://h/', true), 'errAddressMixed');
});

test('subprotocols', () => {
  assert.deepEqual(parseProtocols(' chat, v2.x ,'), { protocols: ['chat', 'v2.x'] });
  assert.deepEqual(parseProtocols(''), { protocols: [] });
  assert.deepEqual(parseProtocols('a b'), { error: 'errProtocolToken', found: 'a b' });
  assert.deepEqual(parseProtocols('a,b,a'), { error: 'errProtocolTwice', found: 'a' });
});

test('back-off doubles, is truncated and is half random', () => {
  assert.deepEqual([0, 1, 2, 3, 6, 60].map((n) => backOff(n, () => 1)), [500, 1000, 2000, 4000, 30_000, 30_000]);
  assert.deepEqual([0, 1, 60].map((n) => backOff(n, () => 0)), [250, 500, 15_000]);
});

test('history is bounded by number and by bytes, and keeps the newest', () => {
  const history = new History(3, 10);
  for (const word of ['a', 'b', 'c', 'd']) history.add(text(word));
  assert.deepEqual(history.entries.map((e) => e.text), ['b', 'c', 'd']);
  assert.equal(history.forgotten, 1);
  history.add(text('123456789'));
  assert.deepEqual(history.entries.map((e) => e.text), ['d', '123456789']);
  history.add(text('more than ten bytes'));
  assert.equal(history.entries.length, 1);
  history.clear();
  assert.equal(history.entries.length + history.forgotten, 0);
});

test('pause holds entries back, bounded, and resume brings them in order', () => {
  const history = new History(3, 100);
  history.add(text('a'));
  history.pause();
  for (const word of ['b', 'c']) history.add(text(word));
  assert.deepEqual([history.entries.length, history.held], [1, 2]);
  history.resume();
  assert.deepEqual(history.entries.map((e) => e.text), ['a', 'b', 'c']);
  history.pause();
  for (const word of ['d', 'e', 'f', 'g']) history.add(text(word));
  assert.equal(history.held, 3);
  history.resume();
  assert.deepEqual(history.entries.map((e) => e.text), ['e', 'f', 'g']);
  assert.equal(history.forgotten, 4);
});

test('filter by content, kind and bytes', () => {
  const words = () => 'Connected';
  const event = { kind: 'note', type: 'event', key: 'evOpen' };
  assert.ok(new Filter('HELLO').matches(text('say hello'), words));
  assert.ok(!new Filter('h.llo').matches(text('hello'), words), 'no pattern language');
  assert.ok(new Filter('', 'out').matches(text('x', 'out'), words));
  assert.ok(!new Filter('', 'out').matches(text('x', 'in'), words));
  assert.ok(!new Filter('', 'in').matches({ ...event, kind: 'in' }, words));
  assert.ok(new Filter('connect', 'event').matches(event, words));
  assert.deepEqual(new Filter('0d 0a').find(Uint8Array.of(1, 0x0d, 0x0d, 0x0a)), { at: 2, length: 2 });
  assert.deepEqual(new Filter('hi').find(Uint8Array.of(0, 0x68, 0x69)), { at: 1, length: 2 });
  assert.ok(!new Filter('0d0b').matches(binary(0x0d, 0x0a), words));
});

test('export can be read back', () => {
  const entries = [text('a"\n'), binary(1, 255), { at: 0, kind: 'error', type: 'event', size: 0, key: 'evEnd', params: { code: 1006 } }];
  const words = () => 'Closed';
  const list = JSON.parse(exportParts(entries, 'json', words, hexLine).join(''));
  const lines = exportParts(entries, 'ndjson', words, hexLine).join('').trimEnd().split('\n').map(JSON.parse);
  assert.deepEqual(list, lines);
  assert.deepEqual(list.map((r) => r.text ?? r.hex), ['a"\n', '01 ff', 'Closed']);
  assert.equal(list[2].code, 1006);
  assert.deepEqual(JSON.parse(exportParts([], 'json', words, hexLine).join('')), []);
});

test('rates', () => {
  const meter = new Meter(100);
  meter.count(10, 100);
  meter.count(20, 100);
  assert.deepEqual(meter.rate(100), { messages: 0, bytes: 0 }, 'this second is not over');
  assert.deepEqual(meter.rate(101), { messages: 2, bytes: 30 });
  assert.equal(meter.series(101).at(-1), 2);
  assert.equal(meter.series(101).length, 59);
  assert.deepEqual(meter.rate(102), { messages: 0, bytes: 0 });
  assert.equal(meter.series(500).reduce((a, b) => a + b), 0, 'a minute forgets');
  assert.deepEqual([meter.messages, meter.bytes], [2, 30]);
  assert.equal(polyline([0, 2], 10, 11, 1, 2), '0.0,11.0 10.0,1.0');
});

test('both languages say the same things', () => {
  const { en, zh } = dictionaries;
  assert.deepEqual(Object.keys(zh), Object.keys(en));
  const names = (s) => [...new Set(s.match(/\{\w+/g))].sort();
  for (const key of Object.keys(en)) assert.deepEqual(names(zh[key]), names(en[key]), key);
  assert.equal(preferredLanguage(['fr', 'zh-TW', 'en']), 'zh');
  assert.equal(preferredLanguage(['fr']), 'en');
});

test('texts fill in and count', () => {
  setLanguage('en');
  assert.equal(t('held', { n: 1 }), '1 message waits');
  assert.equal(t('held', { n: 2 }), '2 messages wait');
  assert.equal(t('forgotten', { n: 5 }), 'The 5 oldest messages were dropped to keep the history bounded.');
  assert.equal(t('evOpenAs', { protocol: '{n}' }), 'Connected with subprotocol {n}');
});

test('every close code has words', () => {
  for (const lang of ['en', 'zh']) {
    setLanguage(lang);
    const known = [...Array(16).keys()].map((n) => closeWords(1000 + n));
    assert.equal(new Set(known).size, 16);
    assert.equal(closeWords(2999), closeWords(1016));
    assert.equal(closeWords(3999), closeWords(3500));
    assert.equal(closeWords(4000), closeWords(4999));
    assert.equal(new Set([999, 1016, 3500, 4000].map(closeWords)).size, 4);
    assert.equal(closeWords(999), closeWords(5000));
  }
});
