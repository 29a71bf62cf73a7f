// Latency, rate and outcomes of each route.

import { h } from './dom.js';
import { get } from './api.js';
import { line, segments } from './chart.js';
import { APART_MS } from './history.js';
import { count, counted, digits, millis, percent, perSecond, windowName, windowSeconds, words, NOT_OBSERVED } from './format.js';
import { badge, card, choices, empty, foreign, note, table, when } from './parts.js';

export const title = () => 'Traffic';

export function load() {
  return get('/performance');
}

const UNTIL = [['total', 'Until the last byte'], ['first_byte', 'Until the first byte']];
const DIRECTIONS = { ingress: 'from clients to the application', egress: 'from the application to a vendor' };

export function draw(state, ctx) {
  const until = ctx.memory.until ?? 'total';
  const used = state.series.filter((one) => one.windows.some((window) => window.total.count > 0) || one.in_flight > 0);
  const idle = state.series.filter((one) => !used.includes(one));
  return [
    h('h1', {}, 'Traffic'),
    h('p', { class: 'lead' }, 'Latency and outcomes of each route, measured by Strop. Lines are drawn since this page was opened, ',
      when(ctx.history.since), '; they begin anew when it is loaded again.'),
    choices('Latency is measured', UNTIL, until, (chosen) => { ctx.memory.until = chosen; ctx.redraw(); }),
    used.length > 0 ? used.map((one) => series(one, until, state, ctx))
      : empty('No exchange in the last hour. Each route that carries one is shown here, with its percentiles.'),
    idle.length > 0 ? card('Routes without an exchange in the last hour', { key: 'idle' },
      h('ul', { class: 'plain' }, idle.map((one) => h('li', { 'data-key': `${one.direction}-${one.route}-${one.upstream}` },
        foreign(one.route), ' → ', foreign(one.upstream), `, ${one.direction}`)))) : null,
  ];
}

function series(one, until, state, ctx) {
  const key = `${one.direction}-${one.route}-${one.upstream}`;
  const heading = [foreign(one.route), h('span', { class: 'arrow' }, ' → '), foreign(one.upstream)];
  return card(heading, { key, aside: `${one.direction}: ${DIRECTIONS[one.direction] ?? ''}` },
    outcomes(one), percentiles(one, until, state), lines(one, until, ctx), budgets(one));
}

/** Of a window, only so many seconds are known while the process is young. */
function knownSeconds(window, state) {
  const whole = windowSeconds(window);
  const known = state.coverage === null ? whole : state.coverage * windowSeconds(state.window);
  return Math.min(whole, known);
}

function percentiles(one, until, state) {
  const rows = one.windows.map((window) => {
    const summary = window[until];
    const p99 = summary.p99_is_only_max && summary.count > 0;
    return {
      key: window.window,
      cells: [`last ${windowName(window.window)}`, { number: true, of: count(summary.count) },
        { number: true, of: perSecond(summary.count, knownSeconds(window.window, state)) },
        ...['p50_ms', 'p90_ms', 'p95_ms'].map((name) => ({ number: true, of: millis(summary[name]) })),
        { number: true, of: p99 ? [millis(summary.p99_ms), h('abbr', { title: 'Too few exchanges for a p99: this is the longest' }, ' max')] : millis(summary.p99_ms) },
        { number: true, of: millis(summary.max_ms) }],
    };
  });
  const what = until === 'total' ? 'last' : 'first';
  return table(`Latency until the ${what} byte, by window`, ['Window', 'Exchanges', 'Rate', 'p50', 'p90', 'p95', 'p99', 'Longest'], rows);
}

const OUTCOMES = { ok: 'up', client_error: 'degraded', client_gone: 'degraded', refused: 'refused', server_error: 'down', timeout: 'down', upstream_failed: 'down' };

function outcomes(one) {
  const all = Object.entries(one.outcomes_5m);
  const sum = all.reduce((total, [, value]) => total + value, 0);
  const flight = `${count(one.in_flight)} in flight now`;
  if (sum === 0) return note(`No exchange in the last 5 min; ${flight}.`);
  const parts = all.map(([name, value]) => ({ name: words(name), value, kind: OUTCOMES[name] ?? 'unknown', text: `${percent(value / sum)} (${count(value)})` }))
    .filter((part) => part.value > 0).sort((a, b) => b.value - a.value);
  return h('div', { class: 'outcomes' },
    segments('Outcomes of the last 5 min', parts),
    h('p', { class: 'legend' }, parts.map((part) => h('span', { class: 'legend-item' }, h('i', { class: `dot-${part.kind}` }), `${part.name} ${part.text}`))),
    note(`${counted(sum, 'exchange')} in the last 5 min, error rate ${percent(one.error_rate_5m)}; ${flight}.`));
}

function lines(one, until, ctx) {
  const points = ctx.history.of(one);
  const of = until === 'total' ? 'total' : 'first';
  const wanted = until === 'total' ? 'last_byte' : 'first_byte';
  const budget = one.budgets?.p95?.until === wanted ? one.budgets.p95.warn_ms : null;
  return h('div', { class: 'pair charts' },
    line({ name: 'p95 of each 10 s, since this page was opened', apart: APART_MS, budget, say: millis,
      points: points.map((point) => ({ at: point.at, value: point[of] })) }),
    line({ name: 'Rate of each 10 s, since this page was opened', apart: APART_MS, say: (value) => `${digits(value)}\u00a0/s`,
      points: points.map((point) => ({ at: point.at, value: point.count / 10 })) }));
}

function budgets(one) {
  if (!one.budgets) return note('This route is held to no latency budget.');
  return table('Latency budgets, last 1 min', ['Percentile', 'State', 'Target', 'Over it', 'Alert', 'Over that', 'Exchanges'],
    Object.entries(one.budgets).map(([name, budget]) => ({
      key: name,
      cells: [name, budget.state ? badge(budget.state) : NOT_OBSERVED,
        { number: true, of: millis(budget.warn_ms), title: `until the ${words(budget.until)}` }, { number: true, of: count(budget.over_warn) },
        { number: true, of: millis(budget.alert_ms) }, { number: true, of: count(budget.over_alert) }, { number: true, of: count(budget.count) }],
    })));
}
