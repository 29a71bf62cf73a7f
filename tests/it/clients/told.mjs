// What the scripts for node have in common.
import { createHash } from "node:crypto";

// The bytes of all tests; they repeat after 251 times 256.
export function pattern(n) {
  const period = Uint8Array.from({ length: 251 * 256 }, (_, at) => (at * 31 + Math.floor(at / 251)) & 255);
  return Buffer.concat(Array(Math.ceil(n / period.length)).fill(period)).subarray(0, n);
}

// A body in a few words.
export function gist(body) {
  return `${body.length} bytes, ${createHash("sha256").update(body).digest("hex")}`;
}
