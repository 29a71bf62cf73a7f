// Incidents as they change, and what holds calls back.

import { h } from './dom.js';
import { get } from './api.js';
import { count } from './format.js';
import { card, choices, empty, link, note, when } from './parts.js';
import { incidentRow } from './view-overview.js';
import { silenceCard } from './silences.js';

export const title = () => 'Incidents';

const MANY = 50;
const RANKS = ['critical', 'high', 'medium', 'low'];
/** Of the same severity, in the order in which they came. */
const worstFirst = (all) => [...all].sort((a, b) => RANKS.indexOf(a.severity) - RANKS.indexOf(b.severity));

export async function load(ctx) {
  const all = ctx.memory.all === true;
  const [incidents, silences, last] = await Promise.all([
    get(`/incidents?limit=${MANY}${all ? '&all=true' : ''}`), get('/silences?all=1'),
    all ? null : get('/incidents?all=true&limit=10'),
  ]);
  return [incidents, silences, last];
}

export function draw([incidents, silences, last], ctx) {
  const all = ctx.memory.all === true;
  return [
    h('h1', {}, 'Incidents'),
    h('p', { class: 'lead' }, 'What Strop found, or somebody opened by hand. The list changes as they do.'),
    h('div', { class: 'bar' }, choices('Which incidents', [[false, 'Open'], [true, 'All']], all, (chosen) => { ctx.memory.all = chosen; ctx.refresh(); })),
    card(all ? `All incidents at hand: ${count(incidents.count)}${incidents.next ? ' and more' : ''}` : `Open incidents: ${count(incidents.count)}`, { key: 'list' },
      incidents.incidents.length > 0 ? h('ul', { class: 'rows' }, (all ? incidents.incidents : worstFirst(incidents.incidents)).map(incidentRow)) : nothing(all, last),
      incidents.next ? note(`The newest ${MANY} are shown; the API has the rest.`) : null),
    silenceCard(silences, ctx),
  ];
}

function nothing(all, last) {
  if (all) return empty('No incident is at hand. What Strop finds, or somebody opens by hand, stays here for as long as [incidents] keep says.');
  const over = (last?.incidents ?? []).filter((one) => one.closed_at).sort((a, b) => b.closed_at.localeCompare(a.closed_at))[0];
  return empty('No incident is open. ', over ? ['The last ended at ', when(over.closed_at), ': ', link(`#/incidents/${encodeURIComponent(over.id)}`, 'look at it'), '.'] : 'None is at hand that ended.');
}
