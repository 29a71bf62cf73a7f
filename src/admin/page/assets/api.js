// The admin API of the process that serves this page.

const BASE = '/api/v2/sre';
const PATIENCE_MS = 15000;

/** An answer that refuses (`application/problem+json`), or none at all (status 0). */
export class Problem extends Error {
  constructor(status, told) {
    super(told.detail ?? told.title ?? 'The order was refused.');
    this.status = status;
    this.title = told.title ?? `Status ${status}`;
    this.detail = told.detail ?? '';
    this.hint = told.hint ?? '';
    this.code = told.code ?? '';
  }
}

const UNREACHED = { title: 'No answer', detail: 'Strop could not be reached, or did not answer within 15 s.' };

async function ask(path, options) {
  let reply;
  let told;
  try {
    reply = await fetch(BASE + path, {
      ...options, cache: 'no-store', credentials: 'same-origin', signal: AbortSignal.timeout(PATIENCE_MS),
    });
    told = await reply.text();
  } catch (cause) {
    throw new Problem(0, { ...UNREACHED, hint: String(cause.message ?? cause) });
  }
  const answer = parsed(told);
  if (!reply.ok) throw new Problem(reply.status, answer ?? { title: `Status ${reply.status}`, detail: told.slice(0, 500) });
  if (answer === null) throw new Problem(reply.status, { title: 'Not JSON', detail: 'What answered is not the API of Strop.' });
  return answer;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

export function get(path) {
  return ask(path, { headers: { accept: 'application/json' } });
}

/** An order; one that is sent twice with the same key is carried out once. */
export function send(method, path, body, key) {
  const headers = { accept: 'application/json', 'content-type': 'application/json' };
  if (method === 'POST') headers['idempotency-key'] = key;
  return ask(path, { method, headers, body: JSON.stringify(body) });
}

export function freshKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return `page-${[...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('')}`;
}

/** A part of a path. */
export const part = (text) => encodeURIComponent(text);
/** A path of the API as a link. */
export const address = (path) => BASE + path;
