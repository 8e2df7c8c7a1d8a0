// A client of ws, the library of Node.js, that has a corpus echoed. Arguments: URL CORPUS OFFER.
// OFFER is a JSON object: the option perMessageDeflate. NODE_MODULES names the folder in which ws is installed.
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const { WebSocket } = createRequire(process.env.NODE_MODULES + "/")("ws");
const [url, corpus, offer] = process.argv.slice(2);

const ws = new WebSocket(url, { perMessageDeflate: JSON.parse(offer), maxPayload: 64 << 20 });
await once(ws, "open");
console.log(`extensions: '${ws.extensions}'`);
for (const { text, binary, fragments } of JSON.parse(readFileSync(corpus))) {
  const message = Buffer.from(text ?? binary, text === undefined ? "hex" : "utf8");
  const size = Math.ceil(message.length / fragments);
  const echo = once(ws, "message");
  for (let part = 0; part < fragments; part += 1) {
    const options = { binary: text === undefined, fin: part + 1 === fragments, compress: true };
    ws.send(message.subarray(part * size, (part + 1) * size), options);
  }
  const [data, isBinary] = await echo;
  if (isBinary !== (text === undefined) || !message.equals(data)) throw new Error("an echo is not what was sent");
}
ws.close(1000);
await once(ws, "close");
