// Node's own server; as asgi.py. KEEP_ALIVE is its keep-alive timeout in seconds.
const http = require("node:http");

const hold = Number(process.env.HOLD || 0) * 1000;
const server = http.createServer((request, response) => {
  request.resume();
  request.on("end", () => {
    const bad = process.env.BAD === "1" || request.url.startsWith("/bad");
    const answer = () => {
      response.writeHead(bad ? 500 : 200, { "Content-Length": 3, "X-Endpoint": process.env.NAME });
      response.end("ok\n");
    };
    if (hold) setTimeout(answer, hold);
    else answer();
  });
});
server.keepAliveTimeout = Number(process.env.KEEP_ALIVE || 5) * 1000;
process.on("SIGTERM", () => {
  server.close(() => process.exit(0));
  server.closeIdleConnections();
});
server.listen(Number(process.env.PORT), "127.0.0.1", 2048);
