// What waits until it is needed: queued writes, and drills that try how soon a fault is found.

import { h } from './dom.js';
import { address, part } from './api.js';
import { bytes, count, counted, duration, percent, words } from './format.js';
import { badge, button, card, documentLink, empty, foreign, note, stat, stats, table, when } from './parts.js';
import { WHY, WHY_MAYBE, order } from './order.js';

export function outboxCard(state, ctx) {
  if (!state.enabled) return card('Outbox', { key: 'outbox' }, empty('The outbox is off: [outbox] in the config keeps writes that their upstream cannot take now.'));
  const rows = state.writes.map((one) => ({
    key: String(one.id),
    cells: [String(one.id), badge(one.state), foreign(one.upstream), foreign(one.route), when(one.queued), one.due ? when(one.due) : '—',
      { number: true, of: count(one.attempts) }, { number: true, of: bytes(one.bytes) }, one.dead_because ? words(one.dead_because) : '—',
      h('div', { class: 'buttons' }, button('Retry', () => decide(one, 'retry', ctx), { label: `Retry write ${one.id}`, key: 'retry' }),
        button('Drop', () => decide(one, 'drop', ctx), { kind: 'danger', label: `Drop write ${one.id}`, key: 'drop' }))],
  }));
  return card('Outbox', { key: 'outbox' },
    stats(stat('waiting', count(state.waiting)), stat('dead', count(state.dead)), stat('size', bytes(state.bytes)), stat('oldest', state.oldest ? when(state.oldest) : 'none')),
    rows.length === 0 ? empty('Nothing waits. A write that its upstream cannot take now is kept here until it can.')
      : table('Queued writes', ['Number', 'State', 'Upstream', 'Route', 'Queued', 'Due', 'Attempts', 'Size', 'Dead because', 'Order'], rows));
}

function decide(one, what, ctx) {
  const retry = what === 'retry';
  order({
    title: retry ? `Send write ${one.id} again` : `Drop write ${one.id}`, verb: retry ? 'Retry' : 'Drop', danger: !retry, path: `/outbox/${part(String(one.id))}/${what}`,
    text: retry ? 'It is sent as soon as its turn comes.' : 'It is never sent. Whoever wrote it was told that it is taken: tell them.',
    fields: [retry ? WHY_MAYBE : WHY], say: () => (retry ? 'It is sent as soon as its turn comes.' : 'It is dropped, and never sent.'), after: ctx.refresh,
  });
}

export function drillCard(state, ctx) {
  if (!state.enabled) return card('Drills', { key: 'drills' }, empty('Drills are off: [drill] mode = "on" in the config allows them.'));
  const now = state.drills.find((one) => one.phase === 'injecting');
  const aside = now ? button('End the injection', () => stop(ctx), { kind: 'danger', key: 'stop' }) : button('Begin a drill', () => begin(ctx), { key: 'begin' });
  const rows = state.drills.map((one) => ({
    key: one.id,
    cells: [[when(one.began)], foreign(one.upstream), badge(one.phase), words(one.fault), { number: true, of: percent(one.share) },
      { number: true, of: `${count(one.hit)} of ${count(one.exchanges)}` }, { number: true, of: duration(one.detection_seconds), title: `target ${duration(one.detection_target_seconds)}` },
      { number: true, of: duration(one.recovery_seconds), title: `target ${duration(one.recovery_target_seconds)}` }, one.end ? words(one.end) : '—',
      documentLink(address(`/drills/${part(one.id)}?format=html`), 'report')],
  }));
  return card('Drills', { key: 'drills', aside }, rows.length === 0 ? empty('No drill since the start. A drill puts a fault into part of one upstream\u2019s requests, and tells how soon it was found.')
    : table('Drills', ['Began', 'Upstream', 'Phase', 'Fault', 'Share', 'Hit', 'Found after', 'Over after', 'End', 'Report'], rows),
  note(`${counted(state.drills.length, 'drill')} of this process; the last twenty are kept.`));
}

function stop(ctx) {
  order({
    title: 'End the injection', verb: 'End it', danger: true, method: 'DELETE', path: '/drills', text: 'No further request is hit.', fields: [WHY_MAYBE],
    say: (answer) => `The drill is ${words(answer.drill.phase)}.`, after: ctx.refresh,
  });
}

const FAULTS = [['error', 'error: an answer of status 503'], ['latency', 'latency: it answers late'], ['reset', 'reset: the connection breaks'], ['blackhole', 'blackhole: no answer']];

function begin(ctx) {
  order({
    title: 'Begin a drill', verb: 'Begin', danger: true, path: '/drills',
    text: 'Real requests fail. It ends by itself, and is called off when more fails than [drill] allows.',
    fields: [
      { name: 'upstream', label: 'Upstream', required: true, max: 200 }, { name: 'fault', label: 'Fault', options: FAULTS, value: 'error', required: true },
      { name: 'percent', label: 'Share of its requests', value: '5%', required: true, max: 20, pattern: '[\\d.]+%' },
      { name: 'duration', label: 'For how long', value: '2m', required: true, max: 20, pattern: '(\\d+(ms|s|m|h|d))+' },
      { name: 'latency', label: 'How late', max: 20, hint: 'Only for latency, such as 2s.' }, WHY,
    ],
    say: (answer) => `Drill ${answer.drill.id} is ${words(answer.drill.phase)} until ${answer.drill.until}.`, after: ctx.refresh,
  });
}
