// One incident: where it stands, its timeline with the evidence, and what people do about it.

import { h } from './dom.js';
import { address, get, part } from './api.js';
import { counted, duration, words } from './format.js';
import { badge, button, card, documentLink, empty, facts, foreign, link, note, stat, stats, table, when } from './parts.js';
import { WHY, WHY_MAYBE, order } from './order.js';

export const title = (ctx) => `Incident ${ctx.name}`;

export function load(ctx) {
  return get(`/incidents/${part(ctx.name)}`);
}

const OVER = new Set(['resolved', 'reviewed', 'cleared']);

export function draw(one, ctx) {
  return [
    h('p', { class: 'crumb' }, link('#/incidents', 'Incidents')),
    h('h1', { class: 'long' }, foreign(one.title)),
    h('p', { class: 'badges' }, badge(one.severity, `severity ${one.severity}`), badge(one.state), one.silenced ? badge('unknown', 'silenced') : null,
      one.response_breached ? badge('warned', 'later than agreed') : null),
    actions(one, ctx),
    card('Where it stands', { key: 'state' }, standing(one), times(one)),
    card('Timeline', { key: 'timeline' }, timeline(one)),
    card('Signals', { key: 'signals' }, signals(one)),
    card('Review', { key: 'review' }, review(one)),
  ];
}

function actions(one, ctx) {
  const over = OVER.has(one.state);
  return h('div', { class: 'buttons actions' },
    over ? null : button('Take it', () => ack(one, ctx), { kind: 'main', key: 'ack' }),
    button('Note', () => write(one, ctx), { key: 'note' }),
    over && !one.review ? button('Write the review', () => learn(one, ctx), { kind: 'main', key: 'review' }) : null,
    over ? null : [
      button('Assign', () => assign(one, ctx), { key: 'assign' }), button('Rate', () => rate(one, ctx), { key: 'rate' }),
      button('Resolve', () => resolve(one, ctx), { kind: 'danger', key: 'resolve' })]);
}

const change = (one, ctx, verb, spec) => order({ path: `/incidents/${part(one.id)}/${verb}`, after: ctx.refresh, ...spec });

function ack(one, ctx) {
  change(one, ctx, 'ack', {
    title: 'Take the incident', verb: 'Take it', text: 'Nobody else is called about it; it is in your hands.', fields: [WHY_MAYBE],
    say: (answer) => `The incident is ${words(answer.incident.state)}.`,
  });
}

function write(one, ctx) {
  change(one, ctx, 'note', {
    title: 'Write on the timeline', verb: 'Write', fields: [{ name: 'text', label: 'Note', kind: 'long', required: true, max: 10000 }],
    say: () => 'It stands on the timeline.',
  });
}

function assign(one, ctx) {
  change(one, ctx, 'assign', {
    title: 'Put somebody in charge', verb: 'Assign', fields: [{ name: 'to', label: 'Who is in charge', required: true, max: 200 }],
    say: (answer) => `In charge: ${answer.incident.assignee}.`,
  });
}

const SEVERITIES = ['low', 'medium', 'high', 'critical'].map((word) => [word, word]);

function rate(one, ctx) {
  change(one, ctx, 'rate', {
    title: 'Say how bad it is', verb: 'Rate', text: 'It decides who is called, and how soon.',
    fields: [{ name: 'severity', label: 'Severity', options: SEVERITIES, value: one.severity, required: true }, WHY],
    say: (answer) => `The severity is ${answer.incident.severity}.`,
  });
}

function resolve(one, ctx) {
  change(one, ctx, 'resolve', {
    title: 'Resolve the incident', verb: 'Resolve', danger: true, fields: [WHY_MAYBE],
    text: one.holds ? 'Its condition still holds: Strop will refuse, unless it is forced.' : 'It ends; its review may still be written.',
    force: { status: 409, label: 'Resolve it although its condition holds' }, say: (answer) => `The incident is ${words(answer.incident.state)}.`,
  });
}

const LONG = { kind: 'long', required: true, max: 20000 };

function learn(one, ctx) {
  change(one, ctx, 'review', {
    title: 'Write the review', verb: 'Write', fixed: { actions: [] }, text: 'What was learnt, and who does what by when. Then the incident is reviewed.',
    fields: [{ name: 'technical', label: 'Technical', ...LONG }, { name: 'process', label: 'Process', ...LONG }, { name: 'human', label: 'Human', ...LONG },
      { name: 'actions', label: 'What is to be done', kind: 'long', hint: 'One a line: what; who; by when (2026-12-31).', put: (text) => ({ actions: text.split('\n').filter(Boolean).map(action) }) }],
    say: () => 'The incident is reviewed.',
  });
}

/** `what; owner; due` of one line. */
function action(line) {
  const [due, owner, ...what] = line.split(';').map((word) => word.trim()).reverse();
  return what.length > 0 ? { what: what.reverse().join('; '), owner, due } : { what: line, owner: '', due: '' };
}

function standing(one) {
  return facts([
    ['Found by', [words(one.rule), one.service ? [' of ', foreign(one.service)] : '']],
    ['Condition', one.holds ? 'it holds' : 'it does not hold now'],
    ['Taken', one.acknowledged_by ? [foreign(one.acknowledged_by), ', ', when(one.acknowledged_at)] : 'by nobody yet'],
    ['In charge', one.assignee ? foreign(one.assignee) : 'nobody'],
    one.respond_by && ['Answer agreed by', when(one.respond_by)],
    one.ending && ['Ended', foreign(words(one.ending))],
    one.flaps > 0 && ['Came back', counted(one.flaps, 'time')],
    one.earlier && ['Follows', link(`#/incidents/${part(one.earlier)}`, one.earlier)],
    ['Number', h('code', {}, one.id)],
  ]);
}

function times(one) {
  return stats(
    stat('began', when(one.began_at)),
    stat('suspected after', duration(one.seconds_to_suspect)),
    stat('confirmed after', one.confirmed_at ? duration(one.seconds_to_confirm) : 'not confirmed'),
    stat('taken after', one.acknowledged_at ? duration(one.seconds_to_acknowledge) : 'not taken'),
    stat('recovered after', one.recovered_at ? duration(one.seconds_to_recover) : 'not recovered'),
    stat('over', one.closed_at ? when(one.closed_at) : 'not over'));
}

function timeline(one) {
  if (one.timeline.length === 0) return empty('Nothing stands here yet.');
  const lines = [...one.timeline].sort((a, b) => b.number - a.number);
  return h('ol', { class: 'timeline' }, lines.map((line) => h('li', { class: `kind-${line.kind}`, 'data-key': String(line.number) },
    h('div', { class: 'line-head' }, when(line.at), h('span', { class: 'line-kind' }, words(line.kind)), h('span', { class: 'line-actor' }, foreign(line.actor))),
    h('p', { class: 'line-text' }, foreign(line.text)),
    line.evidence.length > 0 ? h('details', {}, h('summary', {}, counted(line.evidence.length, 'piece of evidence', 'pieces of evidence')),
      facts(line.evidence.map((fact) => [foreign(fact.name), foreign(fact.value)]))) : null)));
}

function signals(one) {
  if (one.signals.length === 0) return empty('No signal: it was opened by hand.');
  return [table('Signals', ['Rule', 'Of', 'First bad', 'Confirmed', 'Over'], one.signals.map((signal, at) => ({
    key: `${signal.rule}-${signal.scope}-${at}`,
    cells: [words(signal.rule), [foreign(signal.service), signal.scope ? [', ', foreign(signal.scope)] : ''], when(signal.first_bad_at),
      signal.confirmed_at ? when(signal.confirmed_at) : 'not confirmed', signal.over_at ? when(signal.over_at) : 'not over'],
  }))), one.signals_untold > 0 ? note(`${counted(one.signals_untold, 'more signal')} were counted, not kept.`) : null];
}

function review(one) {
  const sheet = note(documentLink(address(`/incidents/${part(one.id)}/review?format=markdown`), 'What there is to review'), ', as Markdown.');
  if (!one.review) return [empty('No review is written. Once the incident is over, it says what was learnt, and who does what by when.'), sheet];
  return [facts([['Technical', foreign(one.review.technical)], ['Process', foreign(one.review.process)], ['Human', foreign(one.review.human)],
    one.reviewed_at && ['Reviewed', when(one.reviewed_at)]]),
  table('What is to be done', ['What', 'Owner', 'Due'], one.review.actions.map((action, at) => ({
    key: String(at), cells: [foreign(action.what), foreign(action.owner), when(action.due)],
  }))), sheet];
}
