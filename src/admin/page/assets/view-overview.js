// The state in one sentence, what Strop does about it, and the figures that stand behind it.

import { h } from './dom.js';
import { get, part } from './api.js';
import { bar, segments } from './chart.js';
import { count, counted, digits, duration, percent, windowName, NOT_OBSERVED } from './format.js';
import { badge, card, empty, foreign, kindOf, link, note, shape, stat, stats, when } from './parts.js';

export const title = () => 'Overview';

export function load() {
  return get('/dashboard');
}

export function draw(state) {
  return [
    h('h1', { class: 'unseen' }, 'Overview'),
    hero(state),
    doing(state.doing),
    incidents(state.incidents),
    h('div', { class: 'pair' }, uptime(state.uptime), budget(state.budget)),
    upstreams(state.upstreams),
    process(state),
  ];
}

function hero(state) {
  const kind = kindOf(state.status);
  return h('section', { class: `hero is-${kind}`, 'aria-label': 'State' },
    shape(kind),
    h('div', {},
      h('p', { class: 'state-word' }, state.status),
      h('p', { class: 'sentence', 'aria-live': 'polite' }, foreign(state.sentence)),
      h('p', { class: 'note' }, state.since ? ['Since ', when(state.since), '. '] : null, 'Looked at ', when(state.observed_at), '.')));
}

function doing(lines) {
  const body = lines.length > 0
    ? h('ul', { class: 'doing' }, lines.map((line) => h('li', {}, foreign(line))))
    : empty('Nothing out of the ordinary: no breaker is open, nothing is held, no plan runs, nothing is given up.');
  return card('What Strop is doing', { key: 'doing' }, body);
}

function incidents(all) {
  const aside = link('#/incidents', 'All incidents');
  if (all.length === 0) {
    return card('Open incidents', { key: 'incidents', aside }, empty('No incident is open. What is found is shown here as it happens.'));
  }
  return card(`Open incidents: ${count(all.length)}`, { key: 'incidents', aside }, h('ul', { class: 'rows' }, all.map(incidentRow)));
}

/** An incident in one row, as a link. */
export function incidentRow(one) {
  const who = one.assignee ? ['in the hands of ', foreign(one.assignee)]
    : one.acknowledged_by ? ['taken by ', foreign(one.acknowledged_by)] : 'nobody has taken it';
  return h('li', { 'data-key': one.id },
    h('a', { href: `#/incidents/${part(one.id)}`, class: 'row' },
      badge(one.severity),
      h('span', { class: 'row-title' }, foreign(one.title)),
      h('span', { class: 'row-more' }, `${one.state} since `, when(one.began_at), ', ', who,
        one.response_breached ? h('strong', { class: 'late' }, ', later than agreed') : null)));
}

function uptime(of) {
  const aside = link('#/uptime', 'By upstream');
  if (!of) return card('Uptime', { key: 'uptime', aside }, empty('Nothing is observed yet: uptime counts from the first exchange on.'));
  return card('Uptime', { key: 'uptime', aside },
    h('ul', { class: 'burns' }, of.windows.map((one) => span(one, of.target))),
    note(`The target is ${percent(of.target)}. The lower bound takes all unknown time for down, the upper for up.`));
}

/** A window between its bounds: known to be up, unknown, known to be down. */
function span(one, target) {
  const name = `last ${windowName(one.window)}`;
  const bounds = one.lowest === null || one.highest === null ? NOT_OBSERVED : `between ${percent(one.lowest)} and ${percent(one.highest)}`;
  return h('li', { 'data-key': one.window },
    h('span', { class: 'burn-window' }, name),
    h('strong', { class: one.uptime === null ? 'blank' : one.uptime < target ? 'over' : null }, percent(one.uptime)),
    segments(`Uptime, ${name}`, [
      { name: 'up', kind: 'up', value: one.lowest ?? 0, text: percent(one.lowest) },
      { name: 'unknown', kind: 'unknown', value: (one.highest ?? 1) - (one.lowest ?? 0), text: bounds },
      { name: 'down', kind: 'down', value: 1 - (one.highest ?? 1), text: percent(1 - (one.highest ?? 1)) },
    ]),
    h('span', { class: 'burn-more' }, `${bounds}, known ${percent(one.coverage)}`));
}

function budget(of) {
  const aside = link('#/uptime', 'Budget');
  if (!of) return card('Error budget', { key: 'budget', aside }, empty('No objective is set: [slo] in the config sets one.'));
  return card('Error budget', { key: 'budget', aside }, burns(of),
    note(`Objective: ${percent(of.objective)} of replies are good. At 1× the budget lasts as long as the time it is set for; the mark is there.`));
}

/** How fast the budget goes, window by window. */
export function burns(of) {
  const most = Math.max(2, ...of.windows.map((one) => one.burn_rate ?? 0));
  return h('ul', { class: 'burns' }, of.windows.map((one) => {
    const told = one.burn_rate === null ? NOT_OBSERVED : `${digits(one.burn_rate)}×`;
    const more = one.burn_rate === null ? `no reply in this window` : `${count(one.bad)} bad of ${counted(one.good + one.bad, 'reply', 'replies')}`;
    const kind = one.burn_rate === null ? 'unknown' : one.burn_rate > 1 ? 'down' : 'up';
    return h('li', { 'data-key': one.window },
      h('span', { class: 'burn-window' }, `last ${windowName(one.window)}`),
      h('strong', { class: one.burn_rate === null ? 'blank' : one.burn_rate > 1 ? 'over' : null }, told),
      bar(`Burn rate of the last ${windowName(one.window)}`, `${told} of the budget's pace`, one.burn_rate ?? 0, most, 1, kind),
      h('span', { class: 'burn-more' }, `${more}, known ${percent(one.coverage)}`));
  }));
}

function upstreams(all) {
  if (all.length === 0) return card('Upstreams', { key: 'upstreams' }, empty('No upstream is set. Each [upstreams.<name>] of the config is a tile here.'));
  return card('Upstreams', { key: 'upstreams', aside: link('#/upstreams', 'Breakers and endpoints') },
    h('ul', { class: 'tiles' }, all.map((one) => h('li', { 'data-key': one.name },
      h('a', { href: `#/upstreams/${part(one.name)}`, class: `tile is-${kindOf(one.status)}` },
        h('span', { class: 'tile-name' }, foreign(one.name)),
        badge(one.status),
        h('span', { class: 'tile-more' }, foreign(one.reason)),
        h('span', { class: 'tile-more' }, `breaker ${one.circuit_breaker.replace('_', ' ')}, ${endpoints(one)}`))))));
}

function endpoints(one) {
  const all = counted(one.endpoints, 'endpoint');
  return one.endpoints_healthy === null || one.endpoints_healthy === undefined ? all : `${count(one.endpoints_healthy)} of ${all} healthy`;
}

function process(state) {
  const outbox = state.outbox;
  return card('This process', { key: 'process' }, stats(
    stat('runs for', duration(Math.round(state.uptime_seconds))),
    stat('degradation level', count(state.degradation_level), 'of 0 to 3'),
    stat('outbox', outbox ? count(outbox.waiting) : 'off', outbox ? `waiting, ${count(outbox.dead)} dead` : 'no route queues writes'),
    stat('store', state.store ?? 'none', state.store ? null : 'records live in memory'),
    stat('fleet', state.fleet ?? 'alone', state.fleet ? null : 'no other process')));
}

