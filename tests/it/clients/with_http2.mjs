// node's own HTTP/2 client against the origin at BASE, in one connection. Usage: node with_http2.mjs BASE [CA]
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import * as http2 from "node:http2";
import { once } from "node:events";

import { gist, pattern } from "./told.mjs";

const [, , base, ca] = process.argv;
const LARGE = 1 << 20;
const { NGHTTP2_CANCEL } = http2.constants;

const session = http2.connect(base, ca ? { ca: readFileSync(ca) } : {});
await once(session, "connect");
assert.equal(session.alpnProtocol, ca ? "h2" : "h2c");

function ask(path, { method = "GET", fields = {}, body, trailers } = {}) {
  const sends = body !== undefined;
  const stream = session.request(
    { ":method": method, ":path": path, ...fields },
    { endStream: !sends, waitForTrailers: trailers !== undefined },
  );
  stream.on("wantTrailers", () => stream.sendTrailers(trailers));
  if (sends) stream.end(body);
  return stream;
}

async function rest(stream) {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts);
}

function print(before, fields) {
  for (const name of Object.keys(fields).sort()) {
    for (const value of [fields[name]].flat()) console.log(`${before}${name}: ${value}`);
  }
}

// Prints an answer as the client read it. The test compares it with what it reads without the proxy.
async function seen(what, path, how) {
  const stream = ask(path, how);
  let hints;
  let trailers = {};
  stream.on("headers", (fields) => (hints = fields));
  stream.on("trailers", (fields) => (trailers = fields));
  const [fields] = await once(stream, "response");
  const body = await rest(stream);
  console.log(`== ${what}`);
  print("", fields);
  print("trailer ", trailers);
  process.stdout.write(path.startsWith("/seen") ? body : `${gist(body)}\n`);
  return { fields, body, trailers, hints };
}

// Fields, both ways.
{
  const fields = { "x-odd": ["kept", "twice"], "x-empty": "", cookie: ["one=1", "two=2"], "accept-encoding": "gzip" };
  await seen("request", "/seen?q=a+b&q=%7b", { fields });
  const answer = await seen("fields", "/fields");
  assert.equal(answer.fields["x-twice"], "one, two");
  assert.equal(answer.fields["set-cookie"].length, 2);
}

// Answers without a body.
{
  const status = async (what, path, method) => {
    const { fields, body } = await seen(what, path, { method });
    assert.equal(body.length, 0);
    return fields[":status"];
  };
  assert.equal(await status("no content", "/empty"), 204);
  assert.equal(await status("unchanged", "/unchanged"), 304);
  assert.equal(await status("head", "/large", "HEAD"), 200);
  assert.equal(await status("head of unknown length", "/stream", "HEAD"), 200);
  await seen("deleted", "/seen", { method: "DELETE" });
  await seen("missing", "/nowhere");
}

// Downloads and uploads.
{
  assert.ok((await seen("large", "/large")).body.equals(pattern(LARGE)), "the download is not what was sent");
  assert.ok((await seen("stream", "/stream")).body.equals(pattern(LARGE)), "the download is not what was sent");
  await seen("nothing", "/seen", { method: "POST" });
  await seen("large upload", "/seen", { method: "PUT", body: pattern(LARGE), fields: { "content-length": LARGE } });
  const { body } = await seen("there and back", "/echo", { method: "POST", body: pattern(LARGE) });
  assert.ok(body.equals(pattern(LARGE)), "the upload came back changed");
}

// Trailers, both ways.
{
  const { trailers } = await seen("trailers", "/trailers");
  assert.deepEqual([trailers["x-sum"], trailers["x-late"]], ["14", "so it is"]);
  const sent = { "x-sum": "13", "x-late": "so it is" };
  const how = { method: "POST", body: "with trailers", trailers: sent };
  assert.match((await seen("sent trailers", "/seen", how)).body.toString(), /\ntrailer x-late: so it is\ntrailer x-sum: 13\n/);
}

// The answer is held back until the hints are here.
{
  const stream = ask("/hints");
  const [hints] = await once(stream, "headers");
  assert.deepEqual([hints[":status"], hints.link], [103, "</style.css>; rel=preload; as=style"]);
  const [[fields]] = await Promise.all([once(stream, "response"), seen("released", "/released")]);
  assert.equal(fields[":status"], 200);
  assert.equal((await rest(stream)).toString(), "after the hints\n");
}

// A request that has no answer yet, and an answer without end.
{
  const never = ask("/never");
  await seen("one asks", "/asked?1");
  never.close(NGHTTP2_CANCEL);
  await once(never, "close");
  await seen("one has left", "/left?1");

  const endless = ask("/endless");
  for (let got = 0; got < LARGE; ) got += (await once(endless, "data"))[0].length;
  endless.close(NGHTTP2_CANCEL);
  await seen("two have left", "/left?2");
}

// Many at once, and a ping in their midst.
{
  const together = Array.from({ length: 50 }, () => rest(ask("/together?50")));
  const payload = Buffer.from("and you?");
  const pong = new Promise((done, failed) => {
    session.ping(payload, (error, _, answer) => (error ? failed(error) : done(answer)));
  });
  assert.ok((await pong).equals(payload));
  for (const body of await Promise.all(together)) assert.equal(body.toString(), "together\n");
}

session.close();
await once(session, "close");
