// An echo server of ws, the library of Node.js. Arguments: PORT OPTION, a JSON object: the option perMessageDeflate.
// NODE_MODULES names the folder in which ws is installed.
import { createRequire } from "node:module";

const { WebSocketServer } = createRequire(process.env.NODE_MODULES + "/")("ws");
const [port, option] = process.argv.slice(2);

const server = new WebSocketServer({
  host: "127.0.0.1",
  port: Number(port),
  perMessageDeflate: JSON.parse(option),
  maxPayload: 64 << 20,
});
server.on("connection", (ws) => ws.on("message", (data, isBinary) => ws.send(data, { binary: isBinary })));
