// The drawings of /traffic: the rate by outcome, percentiles with their budgets, and how long exchanges took as a heat map.

import { h } from './dom.js';
import { boxes, curve, linearScale, logScale, plot } from './plot.js';
import { count, counted, digits, localTime, millis, percent, words, NOT_OBSERVED } from './format.js';

const seen = (step) => step.seconds !== null;
const rate = (events, step) => (events === null ? null : events / step.seconds);
const perSecond = (value) => (value === null ? NOT_OBSERVED : `${digits(value)}\u00a0/s`);

/** From the bottom up: what is well, what the client did, what Strop refused, what failed. */
const STACK = [
  ['ok', ['ok'], 'up'], ['client error', ['client_error'], 'client'], ['client gone', ['client_gone'], 'client'],
  ['refused by Strop', ['refused'], 'refused'], ['failed', ['server_error', 'timeout', 'upstream_failed'], 'down'],
];

const ofStack = (step, names) => names.reduce((sum, name) => sum + (step.outcomes?.[name] ?? 0), 0);

export function rateChart(traffic, span) {
  const { steps } = traffic;
  const sums = STACK.map(([name, names, kind]) => ({ name, names, kind, sum: steps.reduce((sum, step) => sum + ofStack(step, names), 0) }));
  const all = sums.reduce((sum, one) => sum + one.sum, 0);
  const most = Math.max(0, ...steps.map((step) => rate(step.count, step) ?? 0));
  const scale = linearScale(most, perSecond);
  let below = steps.map(() => 0);
  const layers = sums.map(({ names, kind }) => {
    const above = steps.map((step, at) => below[at] + (seen(step) ? scale.place(rate(ofStack(step, names), step)) : 0));
    const layer = steps.map((_, at) => ({ at, from: below[at], to: above[at] })).filter((box) => box.to > box.from);
    below = above;
    return boxes(layer, `seg-${kind}`);
  });
  const shares = sums.filter((one) => one.sum > 0).map((one) => ({ ...one, text: `${one.name} ${percent(one.sum / all)} (${count(one.sum)})` }));
  return plot({
    name: `Exchanges by outcome, ${span}`, steps, seen, ticks: scale.ticks, drawn: layers, kind: 'wide',
    description: `${counted(all, 'exchange')}; the most is ${perSecond(most)}. ${shares.map((one) => one.text).join(', ')}.`,
    legend: h('p', { class: 'legend' }, shares.length === 0 ? `No exchange, ${span}.` : shares.map((one) => h('span', { class: 'legend-item' }, h('i', { class: `dot-${one.kind}` }), one.text))),
    heads: ['Rate', 'Exchanges', ...STACK.map(([name]) => name)],
    row: (step) => [{ number: true, of: perSecond(rate(step.count, step)) }, { number: true, of: count(step.count) },
      ...STACK.map(([, names]) => ({ number: true, of: seen(step) ? count(ofStack(step, names)) : NOT_OBSERVED }))],
  });
}

const LINES = [['p50', 'p50_ms'], ['p95', 'p95_ms'], ['p99', 'p99_ms']];
/** Budgets that are drawn: the one that is looked at most, and where somebody is called for it. */
const BUDGETS = [['p95', 'warn_ms', 'p95 target', 'budget'], ['p99', 'alert_ms', 'p99 alert', 'alert']];

function budgetsOf(traffic) {
  return traffic.budgets ? BUDGETS.map(([of, which, name, kind]) => ({ value: traffic.budgets[of][which], name, kind })) : [];
}

export function percentileChart(traffic, span) {
  const { steps } = traffic;
  const values = steps.flatMap((step) => LINES.map(([, field]) => step[field])).filter((value) => value !== null);
  if (values.length === 0) return h('p', { class: 'chart-empty' }, `Percentiles, ${span}: no exchange ended.`);
  const budgets = budgetsOf(traffic);
  const bounds = [...values, ...budgets.map((one) => one.value)];
  const scale = logScale(Math.min(...bounds) * 0.8, Math.max(...bounds) * 1.3, millis);
  const last = [...steps].reverse().find((step) => step.p50_ms !== null);
  const now = LINES.map(([name, field]) => `${name} ${millis(last[field])}`);
  const told = budgets.map((one) => `${one.name} ${millis(one.value)}`).join(', ');
  return plot({
    name: `Percentiles until the last byte, ${span}`, steps, seen, ticks: scale.ticks, kind: 'wide',
    marks: budgets.map((one) => ({ at: scale.place(one.value), text: `${one.name} ${millis(one.value)}`, kind: one.kind })),
    description: `At ${localTime(last.at)}: ${now.join(', ')}; the longest p99 is ${millis(Math.max(...steps.map((step) => step.p99_ms ?? 0)))}.${told ? ` Budgets: ${told}.` : ''} The scale goes by powers of ten.`,
    drawn: LINES.map(([name, field]) => curve(steps, (step) => step[field], scale.place, `curve-${name}`)),
    legend: h('p', { class: 'legend' }, LINES.map(([name], at) => h('span', { class: 'legend-item' }, h('i', { class: `stroke stroke-${name}` }), now[at])),
      h('span', { class: 'legend-item' }, `in the step of ${localTime(last.at)}; scale by powers of ten`)),
    heads: ['p50', 'p90', 'p95', 'p99', 'Longest'],
    row: (step, known) => ['p50_ms', 'p90_ms', 'p95_ms', 'p99_ms', 'max_ms'].map((field) => ({
      number: true, of: step[field] === null && known ? 'no exchange' : millis(step[field]),
    })),
  });
}

const LEVELS = 6;

/** The name of a row: `5 ms to 7 ms`. */
function rowName(rows, at) {
  return at + 1 < rows.length ? `${millis(rows[at])} to ${millis(rows[at + 1])}` : `${millis(rows[at])} or more`;
}

export function heatMap(traffic, span) {
  const { steps, rows_ms: rows } = traffic;
  const most = Math.max(0, ...steps.flatMap((step) => step.heat ?? []));
  if (most === 0) return h('p', { class: 'chart-empty' }, `How long exchanges took, ${span}: none ended.`);
  const level = (value) => Math.min(LEVELS - 1, Math.floor((Math.log(value) / Math.log(Math.max(2, most))) * LEVELS));
  const cells = Array.from({ length: LEVELS }, () => []);
  steps.forEach((step, at) => (step.heat ?? []).forEach((value, row) => {
    if (value > 0) cells[level(value)].push({ at, from: row / rows.length, to: (row + 1) / rows.length });
  }));
  const sums = rows.map((_, row) => steps.reduce((sum, step) => sum + (step.heat?.[row] ?? 0), 0));
  const all = sums.reduce((sum, value) => sum + value, 0);
  const usual = sums.indexOf(Math.max(...sums));
  const slowest = steps.filter((step) => step.heat?.at(-1) > 0).at(-1);
  const every = Math.max(1, Math.ceil(rows.length / 8));
  const ticks = rows.map((value, row) => ({ at: row / rows.length, text: millis(value) })).filter((_, row) => row % every === 0 && row > 0);
  return plot({
    name: `How long exchanges took, ${span}`, steps, seen, ticks, kind: 'wide heat',
    description: `Most took ${rowName(rows, usual)}: ${percent(sums[usual] / all)} of ${counted(all, 'exchange')}. The longest took ${rowName(rows, rows.length - 1)}, last in the step of ${localTime(slowest.at)}.`,
    drawn: cells.map((some, at) => boxes(some, `heat-${at}`)),
    legend: h('p', { class: 'legend' }, `Most took ${rowName(rows, usual)} (${percent(sums[usual] / all)}).`,
      h('span', { class: 'legend-item' }, 'one', Array.from({ length: LEVELS }, (_, at) => h('i', { class: `heat-dot heat-dot-${at}` })), `${count(most)} in a step`)),
    heads: ['Usual', 'Longest', 'Exchanges'],
    row: (step) => {
      if (!seen(step)) return [NOT_OBSERVED, NOT_OBSERVED, { number: true, of: NOT_OBSERVED }];
      const highest = step.heat.findLastIndex((value) => value > 0);
      return highest < 0 ? ['none', 'none', { number: true, of: '0' }]
        : [rowName(rows, step.heat.indexOf(Math.max(...step.heat))), rowName(rows, highest), { number: true, of: count(step.count) }];
    },
  });
}

/** What a part of the traffic is called. */
export function partName({ direction, route, upstream }) {
  return route !== null ? `route ${route}` : upstream !== null ? `upstream ${upstream}` : `${words(direction)} as a whole`;
}
