// One runbook, step by step, with its checks made now.

import { h } from './dom.js';
import { get, part } from './api.js';
import { words } from './format.js';
import { badge, button, card, empty, facts, foreign, link, note, table, when } from './parts.js';
import { WHY_MAYBE, order } from './order.js';

export const title = (ctx) => `Runbook ${ctx.name}`;

export function load(ctx) {
  return get(`/runbooks/${part(ctx.name)}`);
}

export function draw(state, ctx) {
  const { runbook, steps } = state;
  const parts = [...new Set(steps.map((one) => one.part))];
  return [
    h('p', { class: 'crumb' }, link('#/recovery', 'Recovery')),
    h('h1', { class: 'long' }, foreign(runbook.title || runbook.name)),
    h('div', { class: 'buttons actions' }, button('Make its checks now', () => run(runbook, ctx), { kind: 'main', key: 'run' })),
    checks(ctx.memory.checks),
    parts.map((name) => card(foreign(name || 'Steps'), { key: `steps-${name}` },
      h('ol', { class: 'steps' }, steps.filter((one) => one.part === name).map((one) => step(one, runbook, ctx))))),
  ];
}

function step(one, runbook, ctx) {
  const done = one.kind === 'ask' || one.kind === 'note'
    ? button('Done', () => finish(one, runbook, ctx), { label: `Step ${one.number} is done`, key: 'done' }) : null;
  return h('li', { value: one.number, 'data-key': String(one.number) },
    h('p', {}, h('span', { class: 'line-kind' }, `${one.number}, ${one.kind}`), ' ', foreign(one.text)),
    facts([one.check && ['Checks', [words(one.check), one.of ? [' of ', foreign(one.of)] : '']], one.auto && ['Would', foreign(one.auto.would)],
      one.auto?.plan && ['Plan', foreign(one.auto.plan)]]), done);
}

function checks(answer) {
  if (!answer) return null;
  const rows = answer.checks.map((one) => ({
    key: String(one.step), cells: [String(one.step), badge(one.result), words(one.check), foreign(one.of ?? '—'), foreign(one.says)],
  }));
  return card('What its checks say', { key: 'checks' }, rows.length === 0 ? empty('It has no check.') : table('Checks', ['Step', 'Result', 'Check', 'Of', 'Says'], rows),
    note('Made at ', when(answer.observed_at), '.'));
}

function run(runbook, ctx) {
  order({
    title: 'Make its checks now', verb: 'Check', path: `/runbooks/${part(runbook.name)}/run`, text: 'Strop looks; no step is done by it.',
    fields: [{ name: 'service', label: 'For which service', max: 200, value: runbook.services[0] ?? '' },
      { name: 'incident_id', label: 'Incident', max: 200, hint: 'Its number, inc_…: then the checks stand on its timeline.' }, WHY_MAYBE],
    say: () => 'The checks are made; what they say is shown on the page.', after: (answer) => { ctx.memory.checks = answer; ctx.refresh(); },
  });
}

function finish(one, runbook, ctx) {
  order({
    title: `Step ${one.number} is done`, verb: 'Done', path: `/runbooks/${part(runbook.name)}/done`, fixed: { step: one.number },
    text: 'It becomes a line on the timeline of the incident.',
    fields: [{ name: 'incident_id', label: 'Incident', required: true, max: 200, hint: 'Its number, inc_…' }, WHY_MAYBE],
    say: (answer) => answer.text, after: ctx.refresh,
  });
}
