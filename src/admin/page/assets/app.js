// The page: which part is shown, when it is asked for again, and whether it is alive.

import { h, patch } from './dom.js';
import { Problem } from './api.js';
import { reach } from './parts.js';
import { Live } from './live.js';
import * as overview from './view-overview.js';
import * as traffic from './view-traffic.js';
import * as upstreams from './view-upstreams.js';
import * as upstream from './view-upstream.js';
import * as incidents from './view-incidents.js';
import * as incident from './view-incident.js';
import * as uptime from './view-uptime.js';
import * as recovery from './view-recovery.js';
import * as runbook from './view-runbook.js';
import * as settings from './view-settings.js';

const EVERY_MS = 5000;
/** Changes of incidents that come at once are shown at once. */
const GATHER_MS = 250;

const ROUTES = [
  [/^#?\/?$/, overview], [/^#\/traffic(?:\/((?:route|upstream|egress).*))?$/, traffic], [/^#\/upstreams$/, upstreams], [/^#\/upstreams\/(.+)$/, upstream],
  [/^#\/incidents$/, incidents], [/^#\/incidents\/(.+)$/, incident], [/^#\/uptime$/, uptime], [/^#\/recovery$/, recovery],
  [/^#\/runbooks\/(.+)$/, runbook], [/^#\/settings$/, settings],
];

const main = document.getElementById('main');
const cut = document.getElementById('cut');
const head = document.title;

/** Of this visit: what each part of the page remembers while others are shown. */
const memory = new Map();

let shown = null;
let round = 0;
let timer = 0;
let live = null;

function find(hash) {
  for (const [pattern, view] of ROUTES) {
    const match = pattern.exec(hash);
    if (match) return { view, name: match[1] === undefined ? null : unescaped(match[1]), hash: hash.length > 1 ? hash : '#/' };
  }
  return null;
}

function unescaped(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function context(place) {
  if (!memory.has(place.hash)) memory.set(place.hash, {});
  return {
    name: place.name, memory: memory.get(place.hash),
    refresh: () => refresh(), redraw: () => draw(place), now: Date.now(),
  };
}

function draw(place) {
  if (shown !== place || !place.data) return;
  const ctx = context(place);
  ctx.now = Date.parse(place.answer.observed_at) || Date.now();
  const title = place.view.title(ctx);
  patch(main, place.view.draw(place.data, ctx));
  reach(main);
  main.dataset.shown = place.hash;
  document.title = `${title} · ${head}`;
}

async function refresh() {
  clearTimeout(timer);
  const place = shown;
  const mine = (round += 1);
  try {
    const data = await place.view.load(context(place));
    if (mine !== round) return;
    place.data = data;
    place.answer = [data].flat()[0];
    live.answered(place.answer.age_seconds);
    draw(place);
  } catch (problem) {
    if (mine !== round) return;
    failed(place, problem);
  }
  if (mine === round) timer = setTimeout(seen, EVERY_MS);
}

/** Nobody is asked for what nobody sees. */
function seen() {
  if (!document.hidden) refresh();
}

function failed(place, problem) {
  if (!(problem instanceof Problem)) throw problem;
  if (problem.status === 401) {
    location.assign('/');
  } else if (problem.status === 0) {
    live.cut();
    if (!place.data) patch(main, [h('h1', {}, 'No answer yet'), h('p', { class: 'empty' }, 'Strop does not answer. This page goes on asking every 5 s.')]);
  } else {
    live.answered(0);
    patch(main, [h('h1', {}, problem.title), h('p', {}, problem.detail), h('p', { class: 'hint' }, problem.hint)]);
    main.dataset.shown = place.hash;
  }
}

function navigate() {
  const before = shown;
  shown = find(location.hash) ?? { view: overview, name: null, hash: '#/' };
  mark(shown.hash);
  if (before) {
    patch(main, [h('h1', {}, shown.view.title(context(shown))), h('p', { class: 'empty' }, 'Asking …')]);
    window.scrollTo(0, 0);
    main.focus({ preventScroll: true });
  }
  refresh();
}

function mark(hash) {
  for (const anchor of document.querySelectorAll('#nav a')) {
    const of = anchor.getAttribute('href');
    const here = of === '#/' ? /^#?\/?$/.test(hash) : hash.startsWith(of) || (of === '#/recovery' && hash.startsWith('#/runbooks'));
    if (here) anchor.setAttribute('aria-current', 'page');
    else anchor.removeAttribute('aria-current');
  }
}

function tell({ state, word, shown: old, text }) {
  patch(document.getElementById('live'), [
    h('span', { class: `pulse is-${state}`, 'aria-hidden': 'true' }),
    h('span', { class: 'live-word', role: 'status' }, word),
    h('span', { class: 'live-age', 'aria-hidden': 'true' }, old),
  ]);
  cut.hidden = text === null;
  // What ticks is not read out each second: the word is, once.
  const loud = text === null ? '' : 'Cut off from Strop.';
  patch(cut, text === null ? [] : [h('span', { class: 'unseen' }, loud), h('span', { 'aria-hidden': 'true' }, text)]);
}

let gathered = 0;

function changed() {
  clearTimeout(gathered);
  gathered = setTimeout(refresh, GATHER_MS);
}

function begin() {
  if (document.body.dataset.asked === 'yes') return;
  document.documentElement.classList.add('alive');
  document.querySelector('.skip').addEventListener('click', (event) => {
    event.preventDefault();
    main.focus();
  });
  live = new Live(changed, tell);
  window.addEventListener('hashchange', navigate);
  document.addEventListener('visibilitychange', seen);
  window.addEventListener('resize', () => reach(main));
  main.addEventListener('toggle', () => reach(main), true);
  navigate();
}

begin();
