// What holds calls back: the list, a new one, the end of one.

import { h } from './dom.js';
import { part } from './api.js';
import { words } from './format.js';
import { badge, button, card, empty, foreign, note, table, when } from './parts.js';
import { WHY, WHY_MAYBE, order } from './order.js';

const STATES = { lasting: 'mending', to_come: 'unknown', ended: 'unknown' };

export function silenceCard(state, ctx) {
  const aside = button('New silence', () => create(ctx), { key: 'silence' });
  const order_ = ['lasting', 'to_come', 'ended'];
  const all = [...state.silences].sort((a, b) => order_.indexOf(a.state) - order_.indexOf(b.state));
  return card('Silences', { key: 'silences', aside }, all.length === 0
    ? empty('Nothing holds calls back. A silence keeps people from being called about what it names; incidents are recorded all the same.')
    : table('Silences', ['Of', 'State', 'From', 'Until', 'Purpose', 'By', 'Reason', 'Order'], all.map((one) => row(one, ctx))),
  note('A silence holds calls back, not traffic. Maintenance also marks the uptime of its service.'));
}

function row(one, ctx) {
  return {
    key: one.id,
    cells: [one.matchers.map((match, at) => [at > 0 ? ', ' : '', `${match.label} ${match.is ?? '='} `, foreign(match.value)]),
      badge(one.state, words(one.state), STATES[one.state]), when(one.from), when(one.until), one.purpose, foreign(one.actor), foreign(one.reason),
      one.state === 'ended' ? '—' : button('End', () => end(one, ctx), { label: `End the silence ${one.id}`, key: 'end' })],
  };
}

function end(one, ctx) {
  order({
    title: 'End the silence', verb: 'End it', path: `/silences/${part(one.id)}/end`, text: 'People are called again from now on.',
    fields: [WHY_MAYBE], say: () => 'The silence has ended.', after: ctx.refresh,
  });
}

function create(ctx) {
  order({
    title: 'Hold calls back', verb: 'Silence', path: '/silences',
    text: 'Nobody is called about what it names, for so long. Incidents are found and recorded all the same.',
    fields: [
      { name: 'service', label: 'Service', required: true, max: 200, hint: 'An upstream, or a service that incidents name.' },
      { name: 'for', label: 'For how long', value: '2h', required: true, max: 20, hint: 'Such as 30m, 2h, 1d.', pattern: '(\\d+(ms|s|m|h|d))+' },
      { name: 'purpose', label: 'Purpose', required: true, value: 'silence', options: [['silence', 'silence: calls are held back'], ['maintenance', 'maintenance: the uptime of the service says so, too']] },
      WHY,
    ],
    force: { status: 400, label: 'Also for a service that is not there' },
    say: (answer) => `Calls are held back: silence ${answer.silence.id}.`, after: ctx.refresh,
  });
}
