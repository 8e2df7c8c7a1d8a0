// Bun.serve: server.js PORT [echo|broadcast|deflate]
const port = Number(process.argv[2]);
const mode = process.argv[3] ?? "echo";

const messages = {
  echo: (socket, message) => socket.send(message),
  broadcast: (_socket, message) => server.publish("all", message),
  deflate: (socket, message) => socket.send(message, true),
};

const server = Bun.serve({
  port,
  hostname: "127.0.0.1",
  fetch(request, server) {
    return server.upgrade(request) ? undefined : new Response("a WebSocket is expected", { status: 400 });
  },
  websocket: {
    perMessageDeflate: mode === "deflate",
    maxPayloadLength: 16 << 20,
    backpressureLimit: 256 << 20,
    open(socket) {
      if (mode === "broadcast") socket.subscribe("all");
    },
    message: messages[mode],
  },
});
