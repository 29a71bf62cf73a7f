// node's own fetch against the origin at BASE. Usage: node with_fetch.mjs BASE
import assert from "node:assert/strict";

import { gist, pattern } from "./told.mjs";

const base = process.argv[2];
const LARGE = 8 << 20;

// Prints an answer as the client read it. The test compares it with what it reads without the proxy.
async function seen(what, asking) {
  const answer = await asking;
  const body = Buffer.from(await answer.arrayBuffer());
  console.log(`== ${what}: ${answer.status} ${answer.statusText}`);
  for (const [name, value] of answer.headers) console.log(`${name}: ${value}`);
  console.log(gist(body));
  return { answer, body };
}

function upload(body, size = 7_001) {
  let at = 0;
  return new ReadableStream({
    pull(controller) {
      if (at >= body.length) return controller.close();
      controller.enqueue(body.subarray(at, at + size));
      at += size;
    },
  });
}

// Fields: duplicates are joined by fetch; cookies are not, since node 20.
{
  const { answer, body } = await seen("fields", fetch(`${base}/fields`, { headers: { "x-ODD": "kept", "X-Empty": "" } }));
  assert.equal(body.toString(), "fields\n");
  assert.equal(answer.headers.get("x-twice"), "one, two");
  const cookies = [...answer.headers].filter(([name]) => name === "set-cookie").map(([, value]) => value);
  assert.equal(cookies.join(", "), "first=1; Path=/, second=2; Path=/");
}

// A JSON body, there and back.
{
  const sent = { a: ["ü", null, 1.5], nested: { "": 0 } };
  const asked = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(sent) };
  const { body } = await seen("json", fetch(`${base}/echo`, asked));
  assert.deepEqual(JSON.parse(body), sent);
}

// Uploads: a form, a stream of unknown length, a large body.
await seen("form", fetch(`${base}/echo`, { method: "POST", body: new URLSearchParams({ a: "1", b: "2 & 3" }) }));
{
  const sent = pattern(1_000_003);
  const asked = { method: "POST", body: upload(sent), duplex: "half" };
  const streamed = await seen("upload in chunks", fetch(`${base}/echo`, asked));
  assert.ok(streamed.body.equals(sent), "the upload came back changed");
  const whole = await seen("large upload", fetch(`${base}/echo`, { method: "PUT", body: sent }));
  assert.ok(whole.body.equals(sent), "the upload came back changed");
}

// Redirects: followed as GET, and with the body kept.
assert.ok((await seen("redirect", fetch(`${base}/redirect`))).answer.redirected);
assert.equal((await seen("preserved", fetch(`${base}/preserved`, { method: "POST", body: "kept" }))).body.toString(), "kept");

// Downloads: whole, in chunks, compressed by the origin.
assert.ok((await seen("large", fetch(`${base}/large`))).body.equals(pattern(LARGE)), "the download is not what was sent");
assert.ok((await seen("stream", fetch(`${base}/stream`))).body.equals(pattern(1 << 20)), "the download is not what was sent");
assert.equal((await seen("gzip", fetch(`${base}/gzip`))).body.toString(), "as it came\n");
assert.equal((await seen("head", fetch(`${base}/large`, { method: "HEAD" }))).answer.headers.get("content-length"), `${LARGE}`);
await seen("missing", fetch(`${base}/nowhere?q=a+b&q=%7b`, { method: "DELETE" }));

// The first part of an answer is here while the second still waits for us.
{
  const reader = (await fetch(`${base}/held`)).body.getReader();
  assert.equal(Buffer.from((await reader.read()).value).toString(), "first");
  assert.equal(await (await fetch(`${base}/release`)).text(), "released\n");
  assert.equal(Buffer.from((await reader.read()).value).toString(), "second");
  assert.ok((await reader.read()).done);
}

// An answer without end, left in its middle; then business as usual.
{
  const leaving = new AbortController();
  const reader = (await fetch(`${base}/endless`, { signal: leaving.signal })).body.getReader();
  for (let got = 0; got < 1 << 20; ) got += (await reader.read()).value.length;
  leaving.abort();
  await assert.rejects(reader.read(), { name: "AbortError" });
  await seen("after", fetch(`${base}/echo`, { method: "POST", body: "still here" }));
}

// Many at once.
{
  const bodies = Array.from({ length: 50 }, (_, n) => `body ${n}`);
  const answers = bodies.map(async (body) => (await fetch(`${base}/echo?many`, { method: "POST", body })).text());
  assert.deepEqual(await Promise.all(answers), bodies);
}
