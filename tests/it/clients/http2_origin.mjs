// An origin with the same pages by every version of HTTP. It listens where the kernel picks: the first line says at which port.
// Usage: node http2_origin.mjs http1 | h2c | h2 CERT KEY
import { readFileSync } from "node:fs";
import * as http from "node:http";
import * as http2 from "node:http2";
import { Readable, pipeline } from "node:stream";

import { gist, pattern } from "./told.mjs";

const [, , version, cert, key] = process.argv;
const LARGE = pattern(1 << 20);
const PAGE = readFileSync(new URL("page.html", import.meta.url));
const TEXT = { "content-type": "text/plain" };

// What waits until something has happened so many times.
const counted = { asked: 0, left: 0, together: 0, released: 0 };
let waiting = [];
function count(what) {
  counted[what] += 1;
  const due = waiting.filter((one) => counted[one.what] >= one.wanted);
  waiting = waiting.filter((one) => !due.includes(one));
  for (const one of due) one.go();
}
function whenCounted(what, wanted, go) {
  if (counted[what] >= wanted) go();
  else waiting.push({ what, wanted, go });
}

function whole(response, status, fields, body) {
  const length = status === 204 || status === 304 ? {} : { "content-length": Buffer.byteLength(body) };
  response.writeHead(status, { ...fields, ...length });
  response.end(body);
}

function parts(body, size = 16_001) {
  const cut = [];
  for (let at = 0; at < body.length; at += size) cut.push(body.subarray(at, at + size));
  return Readable.from(cut);
}

async function read(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts);
}

// Fields that say how a hop frames its messages.
const OF_THE_HOP = ["connection", "host", "transfer-encoding", "te"];

// Fields by name; those of one name in their order.
function lines(raw) {
  const fields = [];
  const cookies = [];
  for (let at = 0; at < raw.length; at += 2) {
    const [name, value] = [raw[at].toLowerCase(), raw[at + 1]];
    if (name.startsWith(":") || OF_THE_HOP.includes(name)) continue;
    // HTTP/1.1 says of a POST that it has no body.
    if (name === "content-length" && value === "0") continue;
    // HTTP/2 may cut one field into crumbs.
    if (name === "cookie") cookies.push(value);
    else fields.push([name, value]);
  }
  if (cookies.length > 0) fields.push(["cookie", cookies.join("; ")]);
  fields.sort(([one], [other]) => (one < other ? -1 : Number(one > other)));
  return fields.map(([name, value]) => `${name}: ${value}`);
}

// The request as it came here; whether it came by another hop is not told by it.
async function seen(request, response) {
  const body = await read(request);
  const told = [
    `${request.method} ${request.url} to ${request.headers[":authority"] ?? request.headers.host}`,
    ...lines(request.rawHeaders),
    gist(body),
    ...lines(request.rawTrailers).map((line) => `trailer ${line}`),
  ];
  // Without a length: it would tell what a proxy adds.
  response.writeHead(200, TEXT);
  response.end(told.join("\n") + "\n");
}

function* endless() {
  for (;;) yield LARGE.subarray(0, 16 << 10);
}

const FIELDS = { "X-Twice": ["one", "two"], "Set-Cookie": ["first=1; Path=/", "second=2; Path=/"], "x-empty": "" };
const LINK = "</style.css>; rel=preload; as=style";

const pages = {
  "/echo": async (request, response) => whole(response, 200, TEXT, await read(request)),
  "/seen": seen,
  "/fields": (_, response) => whole(response, 200, FIELDS, "fields\n"),
  "/page": (_, response) => whole(response, 200, { "content-type": "text/html" }, PAGE),
  "/small": (_, response, nth) => whole(response, 200, TEXT, `small ${nth}\n`),
  // So many MiB; one if nobody says.
  "/large": (_, response, mebibytes) => whole(response, 200, TEXT, mebibytes ? pattern(mebibytes << 20) : LARGE),
  "/stream": (request, response) => {
    response.writeHead(200, TEXT);
    if (request.method === "HEAD") response.end();
    else parts(LARGE).pipe(response);
  },
  "/empty": (_, response) => whole(response, 204, {}, ""),
  "/unchanged": (_, response) => whole(response, 304, { etag: '"one"' }, ""),
  "/trailers": (_, response) => {
    response.writeHead(200, { ...TEXT, trailer: "x-sum, x-late" });
    response.write("with trailers\n");
    response.addTrailers({ "x-sum": "14", "x-late": "so it is" });
    response.end();
  },
  "/hints": (_, response) => {
    response.writeEarlyHints({ link: LINK });
    // Not before the client has the hints: it says so.
    whenCounted("released", 1, () => whole(response, 200, TEXT, "after the hints\n"));
  },
  "/released": (_, response) => {
    count("released");
    whole(response, 200, TEXT, "released\n");
  },
  "/held": (_, response) => whenCounted("released", 1, () => whole(response, 200, TEXT, "held\n")),
  "/endless": (_, response) => {
    response.writeHead(200, TEXT);
    pipeline(Readable.from(endless()), response, () => count("left"));
  },
  // No answer for as long as somebody waits for one.
  "/never": (_, response) => {
    response.on("close", () => count("left"));
    count("asked");
  },
  "/asked": (_, response, wanted) => whenCounted("asked", wanted, () => whole(response, 200, TEXT, "asked\n")),
  "/left": (_, response, wanted) => whenCounted("left", wanted, () => whole(response, 200, TEXT, "left\n")),
  // Answered once so many are here at the same time.
  "/together": (_, response, wanted) => {
    whenCounted("together", wanted, () => whole(response, 200, TEXT, "together\n"));
    count("together");
  },
};

function answer(request, response) {
  response.sendDate = false;
  response.setHeader("date", "Sun, 06 Nov 1994 08:49:37 GMT");
  const [path, query] = request.url.split("?");
  const page = pages[path] ?? (() => whole(response, 404, TEXT, "no such page\n"));
  page(request, response, Number(query));
}

function server() {
  if (version === "http1") return http.createServer(answer);
  if (version === "h2c") return http2.createServer(answer);
  return http2.createSecureServer({ cert: readFileSync(cert), key: readFileSync(key) }, answer);
}

const listening = server();
listening.listen(0, "127.0.0.1", () => console.log(listening.address().port));
