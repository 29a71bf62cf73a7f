// Rate, outcomes and latency: the last hour of a part of the traffic step by step, and each route by window.

import { h } from './dom.js';
import { get, part } from './api.js';
import { segments } from './chart.js';
import { heatMap, partName, percentileChart, rateChart } from './traffic-charts.js';
import { count, counted, duration, millis, percent, perSecond, windowName, windowSeconds, words, NOT_OBSERVED } from './format.js';
import { badge, card, choices, empty, foreign, link, note, table, when } from './parts.js';

export const title = () => 'Traffic';

/** Windows that are drawn, and how finely: about a hundred steps. */
const WINDOWS = [['1h', '1 h'], ['15m', '15 min'], ['5m', '5 min']];
const STEPS = { '1h': '30s', '15m': '10s', '5m': '10s' };

/** The parameters of a part: `route/all`, `upstream/stripe`, `egress`, or null for the ingress. */
function asked(name) {
  const [kind, ...rest] = (name ?? 'ingress').split('/');
  return rest.length > 0 ? `${kind}=${part(rest.join('/'))}` : `direction=${part(kind)}`;
}

/** The history of a part. */
function history(query, window) {
  return get(`/traffic?${query}&window=${window}&step=${STEPS[window]}`);
}

export function load(ctx) {
  return Promise.all([get('/performance'), ctx.memory.window ? history(asked(ctx.name), ctx.memory.window) : recent(asked(ctx.name))]);
}

/** An hour of which less is known than this is nearly empty. */
const TOO_LITTLE = 0.08;

/** The last hour of a part; the last minutes while the process is young. */
export async function recent(query) {
  const answer = await history(query, '1h');
  return answer.coverage >= TOO_LITTLE ? answer : history(query, '5m');
}

const UNTIL = [['total', 'Until the last byte'], ['first_byte', 'Until the first byte']];
const DIRECTIONS = { ingress: 'from clients to the application', egress: 'from the application to a vendor' };

export function draw([state, traffic], ctx) {
  const until = ctx.memory.until ?? 'total';
  const used = state.series.filter((one) => one.windows.some((window) => window.total.count > 0) || one.in_flight > 0);
  const idle = state.series.filter((one) => !used.includes(one));
  return [
    h('h1', {}, 'Traffic'),
    h('p', { class: 'lead' }, 'What Strop itself measured. Known since ', when(traffic.known_since), ': the last hour is kept in memory, and a restart begins anew.'),
    chooser(state.series, ctx),
    pastCard(traffic, ctx),
    h('h2', { class: 'between' }, 'Each route'),
    choices('Latency is measured', UNTIL, until, (chosen) => { ctx.memory.until = chosen; ctx.redraw(); }),
    used.length > 0 ? used.map((one) => series(one, until, state))
      : empty('No exchange in the last hour. Each route that carries one is shown here, with its percentiles.'),
    idle.length > 0 ? card('Routes without an exchange in the last hour', { key: 'idle' },
      h('ul', { class: 'plain' }, idle.map((one) => h('li', { 'data-key': `${one.direction}-${one.route}-${one.upstream}` },
        foreign(one.route), ' → ', foreign(one.upstream), `, ${one.direction}`)))) : null,
  ];
}

const unique = (names) => [...new Set(names)].sort();

/** Which part is shown: another one is another address, so that it can be kept and sent. */
function chooser(all, ctx) {
  const chosen = ctx.name ?? '';
  const option = (value, text) => h('option', { value, selected: value === chosen }, text);
  const group = (label, kind, names) => (names.length === 0 ? null
    : h('optgroup', { label }, names.map((name) => option(`${kind}/${name}`, name))));
  const routes = unique(all.map((one) => one.route));
  const upstreams = unique(all.map((one) => one.upstream));
  return h('div', { class: 'field part', 'data-key': `part-${chosen}-${routes.join()}-${upstreams.join()}` },
    h('label', { for: 'part' }, 'Which part of the traffic'),
    h('select', { id: 'part', onchange: (event) => { location.hash = event.target.value ? `#/traffic/${event.target.value}` : '#/traffic'; } },
      option('', 'Ingress: all that clients ask'), option('egress', 'Egress: all that the application asks'),
      group('Routes', 'route', routes), group('Upstreams', 'upstream', upstreams)));
}

function pastCard(traffic, ctx) {
  const window = ctx.memory.window ?? traffic.window;
  const aside = choices('How far back', WINDOWS, window, (chosen) => { ctx.memory.window = chosen; ctx.redraw(); ctx.refresh(); });
  return past(traffic, capital(partName(traffic)), aside);
}

const capital = (text) => text[0].toUpperCase() + text.slice(1);

/** The last hour of a part: rate, percentiles, heat map. */
export function past(traffic, heading, aside) {
  const span = `last ${windowName(traffic.window)}`;
  const every = `in steps of ${duration(traffic.step_seconds)}`;
  if (traffic.steps.every((step) => step.seconds === null)) {
    return card(heading, { key: 'past', aside }, empty('Nothing is observed yet: the first step ends some 10 s after the start.'));
  }
  const budget = traffic.budgets ? null : note('No budget until the last byte is drawn: these routes are held to none, or not all to the same.');
  return card(heading, { key: 'past', aside },
    rateChart(traffic, span), percentileChart(traffic, span), heatMap(traffic, span), budget,
    note(`${capital(every)}; ${percent(traffic.coverage)} of the window is observed, what is hatched is not. Durations are exact to ${percent(traffic.precision)}.`));
}

function series(one, until, state) {
  const key = `${one.direction}-${one.route}-${one.upstream}`;
  const heading = [foreign(one.route), h('span', { class: 'arrow' }, ' → '), foreign(one.upstream)];
  const aside = [`${one.direction}: ${DIRECTIONS[one.direction] ?? ''}. `, link(`#/traffic/route/${part(one.route)}`, 'Its last hour', h('span', { class: 'unseen' }, ` of ${one.route}`))];
  return card(heading, { key, level: 3, aside }, outcomes(one), percentiles(one, until, state), budgets(one));
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
