// All upstreams with their breakers.

import { h } from './dom.js';
import { get, part } from './api.js';
import { count, duration, words } from './format.js';
import { badge, card, empty, foreign, link, note, table, when } from './parts.js';

export const title = () => 'Upstreams';

export function load() {
  return Promise.all([get('/upstreams'), get('/circuit-breakers')]);
}

export function draw([upstreams, breakers]) {
  return [
    h('h1', {}, 'Upstreams'),
    h('p', { class: 'lead' }, 'Who Strop calls for the application, and the breakers before them.'),
    card('Upstreams', { key: 'upstreams' }, upstreams.upstreams.length === 0
      ? empty('No upstream is set. Each [upstreams.<name>] of the config is a row here.')
      : table('Upstreams', ['Upstream', 'State', 'Why', 'Breaker', 'Good attempts', 'Other attempts', 'Connections'], upstreams.upstreams.map(row))),
    card('Breakers', { key: 'breakers' }, breakers.circuit_breakers.length === 0
      ? empty('No breaker: each upstream has one.')
      : table('Breakers', ['Breaker', 'State', 'Why', 'Since', 'In the window', 'Hold', 'Refused'], breakers.circuit_breakers.map(breaker)),
    note('Attempts and refused are counted since the start of the process. A breaker of an operation or of backup endpoints stands under its upstream\u2019s name with a dot.')),
  ];
}

function row(one) {
  const others = Object.entries(one.attempts).filter(([name]) => name !== 'good').reduce((sum, [, value]) => sum + value, 0);
  return {
    key: one.name,
    cells: [link(`#/upstreams/${part(one.name)}`, foreign(one.name)), badge(one.health.status), foreign(one.health.reason),
      breakerState(one.breaker), { number: true, of: count(one.attempts.good) }, { number: true, of: count(others) },
      { number: true, of: `${count(one.connections)} of ${count(one.connections_max)}` }],
  };
}

/** Its state with its shape; one in shadow says what it would do. */
export function breakerState(one) {
  if (one.mode === 'off') return badge('unknown', 'off', 'unknown');
  if (one.mode === 'shadow') return badge(one.shadow_state, `in shadow: would be ${words(one.shadow_state ?? 'closed')}`, one.shadow_state === 'open' ? 'warn' : 'unknown');
  return badge(one.state, one.ramping ? 'closed, ramping up' : words(one.state), one.ramping ? 'mending' : undefined);
}

/** The upstream of a breaker: its name is `<upstream>`, `<upstream>.<operation>` or `<upstream>.backup`. */
const upstreamOf = (name) => name.split('.')[0];

function breaker(one) {
  return {
    key: one.name,
    cells: [link(`#/upstreams/${part(upstreamOf(one.name))}`, foreign(one.name)), breakerState(one), foreign(one.why ?? '—'), when(one.since),
      { number: true, of: `${count(one.window_failures)} bad of ${count(one.window_requests)}` },
      one.hold ? badge('held', `held ${one.hold.state}, ${duration(Math.round(one.hold.expires_in_seconds))} left`) : 'none',
      { number: true, of: count(one.refused_total) }],
  };
}
