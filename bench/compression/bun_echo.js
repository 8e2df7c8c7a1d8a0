// Bun's server: `bun bun_echo.js PORT plain|browser|reset|takeover`.
const [port, setting] = [Number(Bun.argv[2]), Bun.argv[3]];
const perMessageDeflate = { plain: false, browser: true, reset: true, takeover: { compress: "dedicated", decompress: "dedicated" } }[setting];
if (perMessageDeflate === undefined) throw new Error("plain, browser, reset or takeover is expected");

Bun.serve({
  hostname: "127.0.0.1",
  port,
  fetch: (request, server) => (server.upgrade(request) ? undefined : new Response("", { status: 404 })),
  websocket: {
    perMessageDeflate,
    message: (socket, message) => void socket.send(message, setting !== "plain"),
  },
});
