// One upstream: its breakers with what an operator may do to them, its endpoints, its attempts.

import { h } from './dom.js';
import { get, part } from './api.js';
import { count, counted, digits, duration, percent, words, NOT_OBSERVED } from './format.js';
import { badge, button, card, empty, facts, foreign, link, note, stat, stats, table, tally, when } from './parts.js';
import { WHY, WHY_MAYBE, order } from './order.js';
import { breakerState } from './view-upstreams.js';
import { segments } from './chart.js';
import { past, recent } from './view-traffic.js';

export const title = (ctx) => `Upstream ${ctx.name}`;

export async function load(ctx) {
  const [one, all, traffic] = await Promise.all([
    get(`/upstreams/${part(ctx.name)}`), get('/circuit-breakers'), recent(`upstream=${part(ctx.name)}`)]);
  const more = all.circuit_breakers.filter((breaker) => breaker.name.startsWith(`${ctx.name}.`));
  return [one, more, traffic];
}

export function draw([one, more, traffic], ctx) {
  return [
    h('p', { class: 'crumb' }, link('#/upstreams', 'Upstreams')),
    h('h1', {}, foreign(one.name)),
    h('p', { class: 'lead' }, badge(one.health.status), ' ', foreign(one.health.reason)),
    breaker(one.breaker, 'Breaker', traffic, ctx),
    more.map((extra) => breaker(extra, `Breaker ${extra.name}`, traffic, ctx)),
    past(traffic, 'Exchanges by way of it', link(`#/traffic/upstream/${part(one.name)}`, 'Other windows')),
    endpoints(one),
    one.failover ? failover(one, ctx) : null,
    h('div', { class: 'pair' },
      card('Attempts by verdict', { key: 'attempts' }, tally('Attempts since the start', 'Verdict', one.attempts, 'Attempts')),
      card('Tries again', { key: 'retries' },
        stats(stat('retries', count(one.retries), 'since the start'), stat('denied', count(one.retries_denied), 'the retry budget was used up'),
          stat('hedges won', count(one.hedges_won))),
        tally('Retries by reason', 'Reason', one.retries_by_reason, 'Retries'))),
    limits(one),
  ];
}

function breaker(one, heading, traffic, ctx) {
  const buttons = h('div', { class: 'buttons' },
    button('Hold open', () => hold(one, ctx), { kind: 'danger', label: `Hold open the breaker ${one.name}`, key: 'hold' }),
    button('Close', () => close(one, ctx), { label: `Close the breaker ${one.name}`, key: 'close' }),
    one.hold ? button('Release', () => release(one, ctx), { kind: 'main', label: `Release the breaker ${one.name}`, key: 'release' }) : null);
  return card(heading, { key: `breaker-${one.name}`, aside: buttons },
    h('p', { class: 'breaker-line' }, breakerState(one), ' since ', when(one.since), one.why ? [': ', foreign(one.why)] : null),
    strip(one, traffic),
    one.hold ? h('p', { class: 'held' }, badge('held', `held ${one.hold.state}`), ' by ', foreign(one.hold.actor), ': ', foreign(one.hold.reason),
      `. It ends by itself in ${duration(Math.round(one.hold.expires_in_seconds))}.`) : null,
    stats(stat('in the window', count(one.window_requests), `${count(one.window_failures)} bad, ${count(one.window_slow)} slow`),
      stat('bad in a row', count(one.consecutive_failures), one.failure_threshold === null ? null : `opens at ${count(one.failure_threshold)}`),
      stat('opened', count(one.trips), 'times in a row'),
      stat('refused', count(one.refused_total), 'since the start'),
      stat('next probe', one.probe_in_seconds === null ? 'none is due' : `in ${duration(one.probe_in_seconds)}`, `${count(one.good_probes)} of ${count(one.success_threshold)} good`),
      stat('last recovery took', duration(one.last_recovery_seconds))),
    evidence(one));
}

const HOUR_MS = 3_600_000;
/** Changes of state that are remembered: before the oldest of so many, nothing is known. */
const MOVES = 12;
const STATES = { closed: 'up', half_open: 'degraded', open: 'down' };

/** The states of the last hour, one after the other: from when to when. */
function states({ moves, state }, traffic) {
  const until = Date.parse(traffic.observed_at) || Date.now();
  const from = until - HOUR_MS;
  const first = moves.length >= MOVES ? Date.parse(moves[0].at) : Date.parse(traffic.known_since);
  const all = [{ state: 'unknown', at: from }, { state: moves[0]?.from ?? state, at: first },
    ...moves.map((move) => ({ state: move.to, at: Date.parse(move.at) }))];
  return all.map((one, nth) => ({ state: one.state, from: Math.max(from, one.at), to: Math.min(until, all[nth + 1]?.at ?? until) }))
    .filter((one) => one.to > one.from);
}

function strip(one, traffic) {
  if (one.mode !== 'on') return null;
  const all = states(one, traffic);
  const sums = ['closed', 'half_open', 'open', 'unknown'].map((state) => [state, all.filter((each) => each.state === state).reduce((sum, each) => sum + each.to - each.from, 0)])
    .filter(([, sum]) => sum > 0).map(([state, sum]) => [state, duration(Math.round(sum / 1000))]);
  const parts = all.map((each) => ({ name: words(each.state), kind: STATES[each.state] ?? 'unknown', value: each.to - each.from, text: duration(Math.round((each.to - each.from) / 1000)) }));
  return h('div', { class: 'outcomes' }, segments(`State of the breaker ${one.name}, last 1 h`, parts),
    h('p', { class: 'legend' }, 'Last 1 h:', sums.map(([state, told]) => h('span', { class: 'legend-item' }, h('i', { class: `dot-${STATES[state] ?? 'unknown'}` }), `${words(state)} ${told}`))),
    one.moves.length === 0 ? null : h('details', { class: 'numbers' }, h('summary', {}, `Changes of state: the last ${count(one.moves.length)}`),
      table(`Changes of state of ${one.name}`, ['At', 'From', 'To', 'Why'], [...one.moves].reverse().map((move, at) => ({
        key: `${move.at}-${at}`, cells: [when(move.at), words(move.from), badge(move.to), foreign(move.why)],
      })))));
}

function evidence(one) {
  if (one.evidence.length === 0) return note('No bad attempt is remembered as evidence.');
  return table('What opened it last', ['At', 'Why', 'Endpoint', 'Route', 'Connection'], one.evidence.map((fact, at) => ({
    key: `${fact.at}-${at}`, cells: [when(fact.at), words(fact.why), foreign(fact.endpoint ?? '—'), foreign(fact.route ?? '—'), fact.reused ? 'used before' : 'new'],
  })));
}

const TTL = { name: 'ttl', label: 'For how long', value: '10m', hint: 'Such as 30s, 10m, 2h. Then the evidence rules again.', required: true, max: 20, pattern: '(\\d+(ms|s|m|h|d))+' };
const moved = (answer) => `${answer.note}.`.replace(/\.\.$/, '.');

function hold(one, ctx) {
  order({
    title: `Hold the breaker of ${one.name} open`, verb: 'Hold open', danger: true, path: `/circuit-breakers/${part(one.name)}/open`,
    text: 'No request reaches the upstream for so long: each is answered at once by Strop, as for a breaker that opened by itself.',
    fields: [WHY, TTL], say: moved, after: ctx.refresh,
  });
}

function close(one, ctx) {
  order({
    title: `Close the breaker of ${one.name}`, verb: 'Close', path: `/circuit-breakers/${part(one.name)}/close`,
    text: 'Without force it closes by way of its probes. With force at once, and with a time it is held closed whatever the evidence says.',
    fields: [WHY, { name: 'force', label: 'Close at once, without probes', kind: 'check' }, { ...TTL, value: '', required: false, hint: 'Only with force: held closed so long. Such as 30s, 10m, 2h.' }],
    say: moved, after: ctx.refresh,
  });
}

function release(one, ctx) {
  order({
    title: `Release the breaker of ${one.name}`, verb: 'Release', path: `/circuit-breakers/${part(one.name)}/release`,
    text: 'The hold ends, and the evidence rules again.', fields: [WHY_MAYBE], say: moved, after: ctx.refresh,
  });
}

function endpoints(one) {
  const rows = one.endpoints.map((end) => ({
    key: end.address,
    cells: [foreign(end.address), foreign(end.host), health(end), { number: true, of: count(end.in_flight) }, { number: true, of: count(end.ejections) }],
  }));
  return card('Endpoints', { key: 'endpoints' }, rows.length === 0 ? empty('No endpoint is known: its name was not resolved yet.')
    : table('Endpoints', ['Address', 'Host', 'Health', 'In flight', 'Ejected since the start'], rows),
  note(`${counted(one.connections, 'connection')} of at most ${count(one.connections_max)}. Health is not observed where no check is set.`));
}

function health(end) {
  if (end.ejected_for_seconds !== null) return badge('degraded', `ejected for ${duration(end.ejected_for_seconds)}`);
  if (end.healthy === null) return NOT_OBSERVED;
  return end.healthy ? badge('healthy') : badge('unhealthy');
}

function failover(one, ctx) {
  const now = one.failover;
  const button_ = now.group === 'first'
    ? button('Call the backup', () => switchTo('backup', one, ctx), { kind: 'danger', key: 'backup' })
    : button('Back to the first', () => switchTo('first', one, ctx), { kind: 'main', key: 'first' });
  return card('Failover', { key: 'failover', aside: button_ }, facts([
    ['Called', badge(now.group)], now.since && ['Since', when(now.since)], now.why && ['Why', foreign(now.why)],
    now.order && ['By order of', [foreign(now.order.actor), ': ', foreign(now.order.reason), ', until ', when(now.order.until)]],
    now.back_at && ['Back at', when(now.back_at)],
  ]), now.endpoints.length === 0 ? empty('No backup endpoint is known: its name was not resolved yet.') : table('Backup endpoints', ['Address', 'Host', 'Health', 'In flight'], now.endpoints.map((end) => ({
    key: end.address, cells: [foreign(end.address), foreign(end.host), health(end), { number: true, of: count(end.in_flight) }],
  }))));
}

function switchTo(group, one, ctx) {
  order({
    title: group === 'backup' ? `Call the backup of ${one.name}` : `Call the first endpoints of ${one.name} again`, danger: group === 'backup',
    verb: group === 'backup' ? 'Call the backup' : 'Call the first', path: `/upstreams/${part(one.name)}/failover`, fixed: { group },
    text: 'New requests go there; what is in flight is finished where it is.', fields: group === 'backup' ? [WHY, { ...TTL, value: '15m' }] : [WHY_MAYBE],
    say: moved, after: ctx.refresh,
  });
}

function limits(one) {
  const rows = facts([
    one.hosts.length > 0 && ['Names', one.hosts.map((host, at) => [at > 0 ? ', ' : '', foreign(host)])],
    one.concurrency && ['Concurrency', `${count(one.concurrency.in_flight)} in flight of at most ${digits(one.concurrency.limit)}`],
    one.throttle && ['Throttle', `${percent(one.throttle.chance)} of requests are held back, ${count(one.throttle.refused)} so far`],
    one.tls_roots && ['TLS roots', foreign(one.tls_roots)],
    one.idle_closed_after_seconds !== null && ['Idle connections are closed by it after', duration(one.idle_closed_after_seconds)],
    ['Attempts that speak against', `the endpoint ${count(one.evidence.endpoint)}, the upstream ${count(one.evidence.upstream)}, nobody ${count(one.evidence.nobody)}`],
  ]);
  return card('Limits and names', { key: 'limits' }, rows);
}
