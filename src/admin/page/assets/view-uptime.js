// Uptime by the second, with what is unknown shown as unknown, and how fast the error budget goes.

import { h } from './dom.js';
import { Problem, address, get, part } from './api.js';
import { calendar } from './calendar.js';
import { segments } from './chart.js';
import { count, counted, digits, duration, percent, windowName, NOT_OBSERVED } from './format.js';
import { badge, card, documentLink, empty, foreign, link, note, table, when } from './parts.js';
import { burns } from './view-overview.js';

export const title = () => 'Uptime';

export function load(ctx) {
  return Promise.all([get('/uptime'), get('/slo'), year(ctx), get('/incidents?all=true&limit=20')]);
}

/** Days that are over do not change: the year is asked for again after so long, and for another subject. */
const YEAR_KEEPS_MS = 600_000;

async function year(ctx) {
  const service = ctx.memory.subject ?? 'service';
  const kept = ctx.memory.year;
  if (kept && kept.service === service && Date.now() - kept.at < YEAR_KEEPS_MS) return kept.answer;
  let answer;
  try {
    answer = await get(`/uptime/days?service=${part(service)}`);
  } catch (problem) {
    // Without a store, or while it is away, the rest of the page is still told.
    if (!(problem instanceof Problem) || problem.status === 0 || problem.status === 401) throw problem;
    return { problem: `${problem.detail} ${problem.hint}` };
  }
  ctx.memory.year = { service, at: Date.now(), answer };
  return answer;
}

const STATES = ['up', 'degraded', 'down', 'maintenance', 'unknown'];

export function draw([uptime, slo, days, incidents], ctx) {
  return [
    h('h1', {}, 'Uptime'),
    h('p', { class: 'lead' }, `Each second is up, degraded, down, maintenance or unknown. The target is ${percent(uptime.target)}. `,
      'Degraded counts as up. Lowest takes all unknown time for down, highest for up.'),
    h('p', { class: 'legend', 'aria-hidden': 'true' }, STATES.map((state) => h('span', { class: 'legend-item' }, h('i', { class: `dot-${state}` }), state))),
    yearCard(days, uptime.subjects, ctx),
    uptime.subjects.map(subject),
    reviews(incidents.incidents),
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

function yearCard(days, subjects, ctx) {
  const chosen = ctx.memory.subject ?? 'service';
  const names = subjects.map((one) => one.name);
  const choose = names.length < 2 ? null : h('div', { class: 'field part', 'data-key': `subject-${names.join()}` },
    h('label', { for: 'subject' }, 'Whose days'),
    h('select', { id: 'subject', onchange: (event) => { ctx.memory.subject = event.target.value; ctx.refresh(); } },
      names.map((name) => h('option', { value: name, selected: name === chosen }, name === 'service' ? 'The service as a whole' : name))));
  if (days.problem) return card('The last twelve months', { key: 'year' }, empty(days.problem));
  return card('The last twelve months', { key: 'year' }, choose, calendar(days),
    note(`Days are those of ${days.time_zone}; ${percent(days.coverage)} of the time is known. A band of a day that is down, degraded or unknown is drawn at least a quarter high.`,
      days.unreadable_rows > 0 ? ` ${counted(days.unreadable_rows, 'row')} of the store could not be read: that time is unknown.` : ''));
}

const OVER = ['resolved', 'reviewed'];

/** Incidents that are over, each with its review. */
function reviews(all) {
  const over = all.filter((one) => OVER.includes(one.state));
  return card('Reviews', { key: 'reviews', aside: link('#/incidents', 'All incidents') }, over.length === 0
    ? empty('No incident is over yet. Each one that is can be reviewed here, weeks later too.')
    : table('The latest incidents that are over', ['Incident', 'State', 'Severity', 'Began', 'Review'], over.map((one) => ({
      key: one.id,
      cells: [link(`#/incidents/${part(one.id)}`, foreign(one.title)), badge(one.state), badge(one.severity), when(one.began_at),
        documentLink(address(`/incidents/${part(one.id)}/review?format=markdown`), 'As a text', h('span', { class: 'unseen' }, ` of ${one.id}`))],
    }))));
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
