// What repairs: plans and their runs, the degradation level, the outbox, drills, runbooks.

import { h } from './dom.js';
import { get, part } from './api.js';
import { count, counted, duration, words, NOT_OBSERVED } from './format.js';
import { badge, button, card, empty, facts, foreign, link, note, table, when } from './parts.js';
import { WHY, WHY_MAYBE, order } from './order.js';
import { drillCard, outboxCard } from './standby.js';

export const title = () => 'Recovery';

export function load() {
  return Promise.all(['/recovery', '/degradation', '/outbox', '/drills', '/runbooks'].map(get));
}

const MODES = {
  on: 'Plans run.', dry_run: 'Plans only say what they would do: [recovery] mode is "dry_run".', off: 'No plan runs: [recovery] mode is "off".',
};

export function draw([recovery, degradation, outbox, drills, runbooks], ctx) {
  return [
    h('h1', {}, 'Recovery'),
    h('p', { class: 'lead' }, `What Strop does about failures, by itself and by order. ${MODES[recovery.mode] ?? ''}`),
    runs(recovery, ctx),
    plans(recovery, ctx),
    level(degradation, ctx),
    outboxCard(outbox, ctx),
    drillCard(drills, ctx),
    runbookCard(runbooks),
  ];
}

function runs(state, ctx) {
  if (state.runs.length === 0) return card('Runs', { key: 'runs' }, empty('No plan has run since the start. Each run is shown here, step by step.'));
  return card('Runs', { key: 'runs' }, state.runs.map((one) => run(one, ctx)));
}

function run(one, ctx) {
  const over = one.phase === 'over';
  const buttons = over ? null : h('div', { class: 'buttons' },
    one.phase === 'asking' ? button('Approve', () => decide(one, 'approve', ctx), { kind: 'main', label: `Approve the step of ${one.plan}`, key: 'approve' }) : null,
    button('Cancel the run', () => decide(one, 'cancel', ctx), { kind: 'danger', key: 'cancel' }));
  return h('article', { class: 'run', 'data-key': one.id },
    h('div', { class: 'card-head' }, h('h3', {}, foreign(one.plan), ' for ', foreign(one.target)), buttons),
    h('p', { class: 'badges' }, over ? badge(one.outcome ?? 'unknown') : badge(one.phase), one.dry_run && one.outcome !== 'dry_run' ? badge('unknown', 'dry run') : null),
    facts([
      ['Began', when(one.began)], one.ended && ['Ended', when(one.ended)], ['Took', duration(one.seconds)], ['Attempt', count(one.attempt)],
      one.incident && ['Incident', link(`#/incidents/${part(one.incident)}`, one.incident)],
      one.actor && ['By order of', [foreign(one.actor), one.reason ? [': ', foreign(one.reason)] : '']],
      one.well_since && ['Well since', when(one.well_since)],
    ]),
    one.steps.length === 0 ? empty('No step was begun yet.')
      : table(`Steps of ${one.plan}`, ['Step', 'Result', 'Mode', 'Attempt', 'Began', 'What it says', 'Seen to help'], one.steps.map((each, at) => step(each, at, over))));
}

function step(one, at, over) {
  return {
    key: String(at),
    cells: [words(one.action), badge(one.result), [words(one.mode), one.approved_by ? [', approved by ', foreign(one.approved_by)] : ''],
      { number: true, of: count(one.attempt) }, when(one.began), foreign(one.detail), { null: over ? 'was not looked at' : 'not looked yet', true: 'yes', false: 'no' }[String(one.verified ?? null)]],
  };
}

function decide(one, what, ctx) {
  const approve = what === 'approve';
  order({
    title: approve ? `Let ${one.plan} do its step` : `Cancel the run of ${one.plan}`, verb: approve ? 'Approve' : 'Cancel the run', danger: !approve,
    path: `/recovery/${part(one.id)}/${what}`, fields: [WHY_MAYBE], after: ctx.refresh,
    text: approve ? 'The step that asks is done now.' : 'No further step is begun; what is being done is not undone.',
    say: (answer) => `The run is at: ${words(answer.run.phase)}.`,
  });
}

function plans(state, ctx) {
  if (state.plans.length === 0) return card('Plans', { key: 'plans' }, empty('No plan is set. Each [plans.<name>] of the config stands here, with its steps.'));
  const rows = state.plans.map((one) => ({
    key: one.name,
    cells: [foreign(one.name), one.rules.length > 0 ? one.rules.map(words).join(', ') : 'by order only', names(one.services, 'any'),
      one.steps.map((each) => `${words(each.action)} (${words(each.mode)})`).join(' → '), { number: true, of: count(one.max_attempts) },
      { number: true, of: duration(one.cooldown_seconds) },
      h('div', { class: 'buttons' }, button('Dry run', () => trigger(one, true, ctx), { label: `Dry run of ${one.name}`, key: 'dry' }),
        button('Run', () => trigger(one, false, ctx), { kind: 'danger', label: `Run ${one.name}`, key: 'run' }))],
  }));
  return card('Plans', { key: 'plans' }, table('Plans', ['Plan', 'Begins on', 'For', 'Steps', 'Attempts', 'Rests', 'Order'], rows),
    note('A dry run says what would be done, and does nothing.'));
}

function trigger(one, dry, ctx) {
  const services = { name: 'service', label: 'For which service', required: one.services.length !== 1, max: 200, value: one.services[0] ?? '', put: (service) => ({ context: { service } }) };
  order({
    title: dry ? `Dry run of ${one.name}` : `Run ${one.name} now`, verb: dry ? 'Say what it would do' : 'Run it', danger: !dry, path: '/recovery/trigger',
    text: dry ? 'Strop says what each step would do; nothing is done.' : 'Its steps are done, one after the other, until what they are for is well. Make a dry run first.',
    fixed: { trigger_condition: one.name, ...(dry ? { dry_run: true } : {}) },
    fields: [services, { name: 'incident_id', label: 'Incident', max: 200, hint: 'Its number, inc_…' }, dry ? WHY_MAYBE : WHY],
    say: (answer) => triggered(answer.run), after: ctx.refresh,
  });
}

function triggered(run_) {
  const told = run_.steps.map((one) => `${words(one.action)}: ${words(one.result)}${one.detail ? `, ${one.detail}` : ''}`).join('; ');
  return `Run ${run_.id} of ${run_.plan} for ${run_.target}${told ? `: ${told}` : ''}. It stands under Runs.`;
}

function level(state, ctx) {
  const aside = h('div', { class: 'buttons' }, button('Raise the level', () => raise(state, ctx), { kind: 'danger', key: 'raise' }),
    state.raised_by === 'order' ? button('Restore', () => restore(ctx), { kind: 'main', key: 'restore' }) : null);
  const rows = state.levels.map((one) => ({
    key: String(one.level),
    cells: [`Level ${one.level}`, names(one.features), names(one.fallback), names(one.shed)],
  }));
  return card(`Degradation level ${state.level}, of 0 to 3`, { key: 'level', aside },
    facts([['Since', when(state.since)], state.raised_by && ['Raised by', words(state.raised_by)], state.why && ['Why', foreign(state.why)],
      state.actor && ['Who', foreign(state.actor)], state.until && ['Until', when(state.until)], ['Features given up', names(state.features)],
      state.breakers.length > 0 && ['For the breakers of', names(state.breakers)]]),
    table('What each level gives up', ['Level', 'Features', 'Kept answers for', 'Requests that are shed'], rows));
}

const names = (all, none = 'nothing') => (all.length === 0 ? none : all.map((name, at) => [at > 0 ? ', ' : '', foreign(typeof name === 'string' ? name : JSON.stringify(name))]));

function raise(state, ctx) {
  order({
    title: 'Raise the degradation level', verb: 'Raise', danger: true, path: '/degradation', text: 'The service gives up what that level says, for so long.',
    fields: [{ name: 'level', label: 'Level', kind: 'number', options: [1, 2, 3].map((value) => [String(value), `Level ${value}`]), value: String(Math.min(3, state.level + 1)), required: true },
      { name: 'ttl', label: 'For how long', value: '15m', required: true, max: 20, hint: 'Such as 10m, 2h.', pattern: '(\\d+(ms|s|m|h|d))+' }, WHY],
    say: (answer) => answer.note, after: ctx.refresh,
  });
}

function restore(ctx) {
  order({
    title: 'Restore the service', verb: 'Restore', path: '/degradation', fixed: { level: 0 }, fields: [WHY_MAYBE],
    text: 'What was raised by order ends. What breakers give up stays until they close.', say: (answer) => answer.note, after: ctx.refresh,
  });
}

function runbookCard(state) {
  if (state.runbooks.length === 0) {
    return card('Runbooks', { key: 'runbooks' }, empty(state.directory ? ['No runbook is in ', foreign(state.directory), '.'] : 'No directory of runbooks is set: [runbooks] directory in the config sets one.'));
  }
  return card('Runbooks', { key: 'runbooks' }, table('Runbooks', ['Runbook', 'Steps', 'Rules', 'Services', 'Plans'], state.runbooks.map((one) => ({
    key: one.name,
    cells: [link(`#/runbooks/${part(one.name)}`, foreign(one.title || one.name)), { number: true, of: count(one.steps) },
      one.rules.map(words).join(', ') || 'any', names(one.services, 'any'), names(one.plans, 'none')],
  }))), note(`From ${state.directory ?? NOT_OBSERVED}; checks that ask somebody may take ${duration(state.within_seconds)}. ${counted(state.runbooks.length, 'runbook')}.`));
}
