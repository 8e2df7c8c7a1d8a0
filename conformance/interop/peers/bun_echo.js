// Bun's echo server. Arguments: PORT OPTION, a JSON value: the option perMessageDeflate.
const [port, option] = Bun.argv.slice(2);

Bun.serve({
  hostname: "127.0.0.1",
  port: Number(port),
  fetch: (request, server) => (server.upgrade(request) ? undefined : new Response("", { status: 404 })),
  websocket: {
    perMessageDeflate: JSON.parse(option),
    maxPayloadLength: 64 << 20,
    message: (socket, message) => void socket.send(message, true),
  },
});
