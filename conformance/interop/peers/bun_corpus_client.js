// Bun's client has a corpus echoed. Arguments: URL CORPUS OFFER. OFFER is a JSON value: the option perMessageDeflate.
const [url, corpus, offer] = Bun.argv.slice(2);

const ws = new WebSocket(url, { perMessageDeflate: JSON.parse(offer) });
ws.binaryType = "nodebuffer";
const next = () => new Promise((resolve, reject) => {
  ws.onmessage = ({ data }) => resolve(data);
  ws.onclose = ({ code }) => reject(new Error(`closed with ${code}`));
});
await new Promise((resolve, reject) => {
  ws.onopen = resolve;
  ws.onerror = () => reject(new Error("no connection"));
});
console.log(`extensions: '${ws.extensions}'`);
for (const { text, binary } of await Bun.file(corpus).json()) {
  // It has no call for fragments.
  const message = text ?? Buffer.from(binary, "hex");
  const echo = next();
  ws.send(message);
  const data = await echo;
  if (typeof message === "string" ? data !== message : !message.equals(data)) throw new Error("an echo is not what was sent");
}
const closed = new Promise((resolve) => { ws.onclose = resolve; });
ws.close(1000);
await closed;
