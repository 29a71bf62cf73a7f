// Uptime by the second, with what is unknown shown as unknown, and how fast the error budget goes.

import { h } from './dom.js';
import { address, get, part } from './api.js';
import { segments } from './chart.js';
import { count, digits, duration, percent, windowName, NOT_OBSERVED } from './format.js';
import { card, documentLink, empty, foreign, note, table } from './parts.js';
import { burns } from './view-overview.js';

export const title = () => 'Uptime';

export function load() {
  return Promise.all([get('/uptime'), get('/slo')]);
}

const STATES = ['up', 'degraded', 'down', 'maintenance', 'unknown'];

export function draw([uptime, slo]) {
  return [
    h('h1', {}, 'Uptime'),
    h('p', { class: 'lead' }, `Each second is up, degraded, down, maintenance or unknown. The target is ${percent(uptime.target)}. `,
      'Degraded counts as up. Lowest takes all unknown time for down, highest for up.'),
    h('p', { class: 'legend', 'aria-hidden': 'true' }, STATES.map((state) => h('span', { class: 'legend-item' }, h('i', { class: `dot-${state}` }), state))),
    uptime.subjects.map(subject),
    reports(),
    budget(slo),
  ];
}

/** A window of one subject as a bar. */
function uptimeBar(name, span) {
  return segments(`${name}, last ${windowName(span.window)}`, STATES.map((state) => ({
    name: state, kind: state, value: span[`${state}_seconds`], text: duration(span[`${state}_seconds`]),
  })));
}

const share = (value) => ({ number: true, of: percent(value) });

function subject(one) {
  const whole = one.name === 'service';
  const rows = one.windows.map((span) => ({
    key: span.window,
    cells: [`last ${windowName(span.window)}`, share(span.uptime), h('div', { class: 'in-cell' }, uptimeBar(one.name, span)),
      ...[span.lowest, span.highest, span.coverage].map(share),
      ...STATES.map((state) => ({ number: true, of: duration(span[`${state}_seconds`]) }))],
  }));
  return card(whole ? 'The service as a whole' : foreign(one.name), { key: one.name },
    table(`Uptime of ${one.name}`, ['Window', 'Uptime', 'Seconds by state', 'Lowest', 'Highest', 'Known', ...STATES.map(capital)], rows));
}

const capital = (word) => word[0].toUpperCase() + word.slice(1);

/** This month and the two before, in UTC as the report has them. */
function months() {
  const now = new Date();
  return [0, 1, 2].map((back) => new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - back, 1)).toISOString().slice(0, 7));
}

function reports() {
  return card('Service level reports', { key: 'reports' },
    h('ul', { class: 'plain' }, months().map((month, at) => h('li', { 'data-key': month },
      documentLink(address(`/reports/sla?month=${part(month)}&format=html`), month), at === 0 ? ', until now; ' : '; ',
      documentLink(address(`/reports/sla?month=${part(month)}&format=csv`), `${month} as CSV`)))),
    note('A month is told in UTC; the reports know what the store kept.'));
}

function budget(slo) {
  if (slo.windows.length === 0) return card('Error budget', { key: 'slo' }, empty('No objective is set: [slo] in the config sets one.'));
  const rows = slo.windows.map((one) => ({
    key: one.window,
    cells: [`last ${windowName(one.window)}`, { number: true, of: one.burn_rate === null ? NOT_OBSERVED : `${digits(one.burn_rate)}×` },
      { number: true, of: percent(one.error_ratio) }, { number: true, of: count(one.good) }, { number: true, of: count(one.bad) },
      { number: true, of: percent(one.coverage) }],
  }));
  return card('Error budget', { key: 'slo' }, burns(slo),
    table('How fast the error budget goes', ['Window', 'Burn rate', 'Bad share', 'Good replies', 'Bad replies', 'Known'], rows),
    note(`Objective: ${percent(slo.objective)} of replies are good. At a burn rate of 1× the budget lasts as long as the time it is set for; the mark is there.`));
}
