// An origin that echoes what it is sent once the protocol has changed. It listens where the kernel picks: the first line says
// at which port. Usage: node echo_origin.mjs h2c | h2 | both, websockets | nothing [CERT KEY]
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import * as http2 from "node:http2";

const [, , speaks, takes, cert, key] = process.argv;
const settings = { enableConnectProtocol: takes === "websockets" };
// With which code each WebSocket's stream was closed.
const ends = [];

// The request as it came here, in one line.
function seen(version, { headers, method }, path) {
  const names = ["key", "version", "protocol"].map((name) => `sec-websocket-${name}`);
  const said = names.filter((name) => name in headers).map((name) => name.slice(14));
  return `${method} ${path} by ${version}, ${headers[":protocol"] ?? headers.upgrade}, with ${said}`;
}

// An upgrade by HTTP/2.
function connected(request, response) {
  const stream = response.stream;
  stream.on("error", () => {});
  stream.on("close", () => ends.push(stream.rstCode));
  if (request.headers[":protocol"] !== "websocket") return stream.close(http2.constants.NGHTTP2_CONNECT_ERROR);
  if (request.headers[":path"] === "/refused") {
    stream.respond({ ":status": 403, "content-type": "text/plain" });
    return stream.end("not you\n");
  }
  const told = { "x-asked": seen("2", request, request.headers[":path"]), "sec-websocket-accept": "not by HTTP/2" };
  stream.respond({ ":status": 200, "sec-websocket-protocol": "chat", ...told });
  stream.pipe(stream);
}

// An upgrade by HTTP/1.1.
function upgraded(request, socket, head) {
  const guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  const accept = createHash("sha1").update((request.headers["sec-websocket-key"] ?? "") + guid).digest("base64");
  socket.on("error", () => {});
  if (request.url === "/refused") {
    return socket.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 8\r\n\r\nnot you\n");
  }
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: ${request.headers.upgrade}\r\n` +
      `Sec-WebSocket-Accept: ${accept}\r\nX-Asked: ${seen("1.1", request, request.url)}\r\n\r\n`,
  );
  if (head.length > 0) socket.write(head);
  socket.pipe(socket);
}

// Everything else.
function answer(request, response) {
  const body = request.url === "/ends" ? ends.join() : "fine";
  response.writeHead(200, { "content-length": body.length, "x-version": request.httpVersion });
  response.end(body);
}

function server() {
  if (speaks === "h2c") return http2.createServer({ settings });
  const secure = { cert: readFileSync(cert), key: readFileSync(key) };
  return http2.createSecureServer({ settings, allowHTTP1: speaks === "both", ...secure });
}

const listening = server();
listening.on("connect", connected);
listening.on("upgrade", upgraded);
listening.on("request", answer);
listening.listen(0, "127.0.0.1", () => console.log(listening.address().port));
