// A client of ws, the library of Node.js, that puts our server through its paces. Arguments: URL LIMIT.
// NODE_MODULES names the folder in which ws is installed. Each check prints a line.
import { createRequire } from "node:module";
import { once } from "node:events";

const { WebSocket } = createRequire(process.env.NODE_MODULES + "/")("ws");
const [url, limit] = [process.argv[2], Number(process.argv[3])];
const HANG = 120_000; // milliseconds; a guard, not an expectation

const equal = (got, wanted) => {
  if (got !== wanted) {
    throw new Error(`got ${String(got).slice(0, 200)}, expected ${String(wanted).slice(0, 200)}`);
  }
};

async function check(name, run) {
  let timer;
  const hang = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error("hangs")), HANG);
  });
  try {
    await Promise.race([run(), hang]);
    console.log(`ok      ${name}`);
  } catch (error) {
    console.log(`FAILED  ${name}: ${error.message}`);
  } finally {
    clearTimeout(timer);
  }
}

// A connection with its messages in a queue; `closed` resolves to [code, reason].
async function open({ protocols = [], ...options } = {}) {
  const ws = new WebSocket(url, protocols, { perMessageDeflate: false, maxPayload: 64 << 20, ...options });
  const queue = [];
  const waiting = [];
  ws.on("message", (data, binary) => {
    const message = binary ? data : data.toString();
    waiting.length ? waiting.shift()(message) : queue.push(message);
  });
  ws.on("error", () => {});
  const closed = new Promise((resolve) => ws.on("close", (code, reason) => resolve([code, reason.toString()])));
  const next = () => {
    if (queue.length) return Promise.resolve(queue.shift());
    const message = new Promise((resolve) => waiting.push(resolve));
    return Promise.race([
      message,
      closed.then(([code]) => {
        throw new Error(`closed with ${code} before a message`);
      }),
    ]);
  };
  await Promise.race([
    once(ws, "open"),
    closed.then(() => {
      throw new Error("was not opened");
    }),
  ]);
  return { ws, next, closed };
}

async function finish({ ws, closed }) {
  ws.close(1000);
  equal((await closed)[0], 1000);
}

async function echo(messages) {
  const connection = await open();
  for (const message of messages) {
    connection.ws.send(message);
    const answer = await connection.next();
    if (typeof message === "string") equal(answer, message);
    else equal(Buffer.isBuffer(answer) && Buffer.compare(answer, message), 0);
  }
  await finish(connection);
}

async function fragments() {
  const connection = await open();
  const { ws, next } = connection;
  const crab = Buffer.from("🦀");
  ws.send("frag", { fin: false });
  ws.send("", { fin: false });
  ws.send(crab.subarray(0, 1), { fin: false });
  ws.ping("between");
  const pong = once(ws, "pong");
  ws.send(crab.subarray(1), { fin: false });
  ws.send("", { fin: true });
  equal((await pong)[0].toString(), "between");
  equal(await next(), "frag🦀");
  ws.send(Buffer.alloc(70_000, 1), { fin: false });
  ws.send(Buffer.alloc(70_000, 2), { fin: true });
  const whole = await next();
  equal(Buffer.compare(whole, Buffer.concat([Buffer.alloc(70_000, 1), Buffer.alloc(70_000, 2)])), 0);
  await finish(connection);
}

async function pings() {
  const connection = await open();
  for (const payload of [Buffer.alloc(0), Buffer.from("payload"), Buffer.alloc(125, 7)]) {
    const pong = once(connection.ws, "pong");
    connection.ws.ping(payload);
    equal(Buffer.compare((await pong)[0], payload), 0);
  }
  await finish(connection);
}

async function thousandInOrder() {
  const connection = await open();
  for (let number = 0; number < 1000; number += 1) connection.ws.send(`message ${number}`);
  for (let number = 0; number < 1000; number += 1) equal(await connection.next(), `message ${number}`);
  await finish(connection);
}

async function triggerAsync() {
  const connection = await open();
  connection.ws.send("Trigger async");
  // Whether the text itself is echoed too is the server's business.
  for (let message = ""; message !== "Async data"; ) {
    message = await connection.next();
    if (message !== "Async data") equal(message, "Trigger async");
  }
  await finish(connection);
}

async function ourCloseCodes() {
  for (const [code, reason] of [[1000, ""], [1000, "done"], [1001, "leaving ✓"], [1011, "r".repeat(123)], [3000, "lib"], [4999, "app"]]) {
    const { ws, closed } = await open();
    ws.close(code, reason);
    equal((await closed)[0], code);
  }
  const { ws, closed } = await open();
  ws.close();
  equal((await closed)[0], 1005);
}

async function serverCloses(bytes, wanted) {
  const { ws, next, closed } = await open();
  ws.send("before");
  ws._socket.write(Buffer.from(bytes));
  equal(await next(), "before");
  equal((await closed)[0], wanted);
}

async function tooBig() {
  const { ws, closed } = await open();
  ws.send(Buffer.alloc(limit + 1));
  equal((await closed)[0], 1009);
}

async function noSubprotocol() {
  // ws refuses a server that answers an offer with none, so the answer itself is looked at.
  const ws = new WebSocket(url, ["chat", "superchat"], { perMessageDeflate: false });
  const answer = once(ws, "upgrade");
  const ended = new Promise((resolve) => ws.on("error", resolve).on("open", resolve));
  const [response] = await answer;
  equal(response.statusCode, 101);
  equal(response.headers["sec-websocket-protocol"], undefined);
  await ended;
  ws.terminate();
}

async function compressionOffered() {
  const connection = await open({ perMessageDeflate: true });
  for (const message of ["hello", "a".repeat(100_000)]) {
    connection.ws.send(message);
    equal(await connection.next(), message);
  }
  await finish(connection);
}

async function refused(wanted, address, options = {}) {
  const ws = new WebSocket(address, { perMessageDeflate: false, ...options });
  const status = await new Promise((resolve, reject) => {
    ws.on("unexpected-response", (_, response) => resolve(response.statusCode));
    ws.on("open", () => reject(new Error("was accepted")));
    ws.on("error", reject);
  });
  equal(status, wanted);
}

async function shutdown() {
  const { ws, next, closed } = await open();
  ws.send("still there");
  equal(await next(), "still there");
  console.log("ready for shutdown");
  equal((await closed)[0], 1001);
}

const mebibyte = "0123456789abcdef".repeat(65_536);
await check("texts", () => echo(["hello", "", "héllo ✓ 你好 🦀", "x".repeat(125), "x".repeat(126), "x".repeat(65_535), "x".repeat(65_536)]));
await check("binary messages", () => echo([Buffer.alloc(0), Buffer.from(Array.from({ length: 256 }, (_, i) => i)), Buffer.alloc(65_536, 0xff)]));
await check("fragmented messages, a ping between them", fragments);
await check("pings with payloads", pings);
await check("one mebibyte, text and binary", () => echo([mebibyte, Buffer.from(mebibyte)]));
await check("the longest message allowed", () => echo([Buffer.alloc(limit, 0x6d)]));
await check("a thousand messages keep their order", thousandInOrder);
await check("Trigger async", triggerAsync);
await check("the client closes: codes and reasons", ourCloseCodes);
await check("the server closes: 1002", () => serverCloses([0x83, 0x80, 1, 2, 3, 4], 1002));
await check("the server closes: 1007", () => serverCloses([0x81, 0x82, 0, 0, 0, 0, 0xc3, 0x28], 1007));
await check("the server closes: 1009", tooBig);
await check("no subprotocol", noSubprotocol);
await check("compression offered", compressionOffered);
await check("unknown path: 404", () => refused(404, url + "/nothing-here"));
await check("foreign origin: 403", () => refused(403, url, { origin: "http://elsewhere.example" }));
await check("shutdown: 1001", shutdown);
process.exit(0);
