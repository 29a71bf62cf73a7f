// A year of the ledger, a square a day. What nobody saw is hatched; what was down is never too thin to be seen.

import { h, svg } from './dom.js';
import { address, part } from './api.js';
import { image } from './chart.js';
import { count, duration, percent, NOT_OBSERVED } from './format.js';
import { documentLink, table } from './parts.js';

/** A second of a day is still to be seen: a band is at least so high, as a share of its square. */
const LEAST = 0.28;
const MONTH = new Intl.DateTimeFormat('en', { month: 'long', year: 'numeric', timeZone: 'UTC' });

/** Sums of some days. */
function sumOf(days) {
  const sum = (field) => days.reduce((all, day) => all + day[field], 0);
  const [up, degraded, down, maintenance, unknown] = ['up', 'degraded', 'down', 'maintenance', 'unknown'].map((state) => sum(`${state}_seconds`));
  const measured = up + degraded + down;
  return { up, degraded, down, maintenance, unknown, measured, uptime: measured > 0 ? (up + degraded) / measured : null };
}

/** What a day was, in a sentence. */
function dayText(day) {
  const told = [['down', day.down_seconds], ['degraded', day.degraded_seconds], ['maintenance', day.maintenance_seconds], ['unknown', day.unknown_seconds]]
    .filter(([, seconds]) => seconds > 0).map(([state, seconds]) => `${state} for ${duration(seconds)}`);
  return `${day.date}: uptime ${percent(day.uptime)}${told.length > 0 ? `; ${told.join(', ')}` : ''}`;
}

/** Bands of a square from the bottom up; what went wrong is drawn on top of what went well. */
function bands(day) {
  const whole = day.up_seconds + day.degraded_seconds + day.down_seconds + day.maintenance_seconds + day.unknown_seconds;
  if (whole === 0) return [];
  const unknown = day.unknown_seconds / whole;
  const all = [['up', 0, 1]];
  if (day.maintenance_seconds > 0) all.push(['maintenance', 0, Math.max(LEAST, day.maintenance_seconds / whole)]);
  // Less than a minute of a day is the start of a process, or a request that came late.
  if (day.unknown_seconds >= 60) all.push(['unknown', 1 - Math.max(LEAST, unknown), Math.max(LEAST, unknown)]);
  let from = 0;
  for (const [kind, seconds] of [['down', day.down_seconds], ['degraded', day.degraded_seconds]]) {
    if (seconds === 0) continue;
    const high = Math.min(1 - from, Math.max(LEAST, seconds / whole));
    all.push([kind, from, high]);
    from += high;
  }
  return unknown === 1 ? [['unknown', 0, 1]] : all;
}

const SIZE = 16;
const STEP = 19;
/** A month touches so many weeks at most; all are drawn as high, so that they stand in line. */
const WEEKS = 6;

function square(day, at) {
  const x = (at % 7) * STEP;
  const y = Math.floor(at / 7) * STEP;
  return svg('g', {}, svg('title', {}, dayText(day)), bands(day).map(([kind, from, high]) => svg('rect', {
    x, width: SIZE, y: y + SIZE * (1 - from - high), height: SIZE * high, class: `seg-${kind}`, fill: kind === 'unknown' ? 'url(#hatch)' : null,
  })));
}

/** Monday is 0. */
const weekday = (date) => (new Date(`${date}T00:00:00Z`).getUTCDay() + 6) % 7;

function month(name, days, service) {
  const sum = sumOf(days);
  const first = weekday(days[0].date);
  const title = MONTH.format(new Date(`${name}-01T00:00:00Z`));
  const bad = days.filter((day) => day.down_seconds > 0);
  const text = `Uptime ${percent(sum.uptime)}; ${sum.down > 0 ? `down for ${duration(sum.down)} on ${count(bad.length)} of ${count(days.length)} days: ${bad.map((day) => day.date.slice(8)).join(', ')}` : 'never seen down'}; unknown for ${duration(sum.unknown)}.`;
  const report = `/reports/sla?month=${part(name)}${service === 'service' ? '' : `&service=${part(service)}`}`;
  return h('li', { class: 'month', 'data-key': name },
    h('h3', {}, title),
    image(`${title}, ${service}`, text, { class: 'days', viewBox: `0 0 ${7 * STEP - 3} ${WEEKS * STEP - 3}` }, days.map((day, at) => square(day, first + at))),
    h('p', { class: 'note' }, h('strong', { class: sum.uptime === null ? 'blank' : null }, percent(sum.uptime)), sum.down > 0 ? `, down ${duration(sum.down)}` : null,
      sum.uptime === null ? null : `, known ${percent(1 - sum.unknown / Math.max(1, sum.measured + sum.maintenance + sum.unknown))}`),
    h('p', { class: 'note' }, documentLink(address(`${report}&format=html`), 'Report', h('span', { class: 'unseen' }, ` of ${title}`)), ' ',
      documentLink(address(`${report}&format=csv`), 'CSV', h('span', { class: 'unseen' }, ` of ${title}`))));
}

/** The months of an answer of /uptime/days, the youngest first. */
export function calendar({ days, service }) {
  const months = new Map();
  for (const day of days) {
    const name = day.date.slice(0, 7);
    if (!months.has(name)) months.set(name, []);
    months.get(name).push(day);
  }
  const all = [...months].reverse();
  const bad = days.filter((day) => day.down_seconds > 0 || day.degraded_seconds > 0).reverse();
  return [
    h('ul', { class: 'months' }, all.map(([name, of]) => month(name, of, service))),
    h('details', { class: 'numbers' }, h('summary', {}, `Days with a failure, as a table: ${count(bad.length)}`),
      bad.length === 0 ? h('p', { class: 'empty' }, 'No second of these days was seen down or degraded.')
        : table('Days with a failure, the youngest first', ['Day', 'Uptime', 'Down', 'Degraded', 'Unknown', 'Bad replies'], bad.slice(0, 60).map((day) => ({
          key: day.date, cells: [day.date, { number: true, of: percent(day.uptime) }, ...['down', 'degraded', 'unknown'].map((state) => ({ number: true, of: duration(day[`${state}_seconds`]) })),
            { number: true, of: day.good + day.bad === 0 ? NOT_OBSERVED : `${count(day.bad)} of ${count(day.good + day.bad)}` }],
        })))),
  ];
}
