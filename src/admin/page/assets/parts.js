// The parts that pages are made of.

import { h, svg } from './dom.js';
import { NOT_OBSERVED, localTime, utc, visible, words } from './format.js';

/** A text from outside: as it is, in a direction of its own, whatever it says. */
export function foreign(text) {
  return h('bdi', { class: 'foreign' }, visible(text));
}

const SHAPES = {
  good: 'M8 1a7 7 0 1 1 0 14A7 7 0 0 1 8 1Zm-1.1 9.9 5-5-1.2-1.2-3.8 3.8-1.6-1.6-1.2 1.2Z',
  mending: 'M8 1a7 7 0 1 1 0 14A7 7 0 0 1 8 1Zm0 2.6L4.4 7.2l1.2 1.2L7.2 6.8v5.4h1.6V6.8l1.6 1.6 1.2-1.2Z',
  warn: 'M8 1 15.5 14.5H.5Zm-.9 4.8v4.4h1.8V5.8Zm0 5.4V13h1.8v-1.8Z',
  bad: 'M4.9 1h6.2L15 4.9v6.2L11.1 15H4.9L1 11.1V4.9Zm.9 3.6L4.6 5.8 6.8 8l-2.2 2.2 1.2 1.2L8 9.2l2.2 2.2 1.2-1.2L9.2 8l2.2-2.2-1.2-1.2L8 6.8Z',
  unknown: 'M8 1a7 7 0 1 1 0 14A7 7 0 0 1 8 1Zm0 1.6a5.4 5.4 0 1 0 0 10.8A5.4 5.4 0 0 0 8 2.6ZM4.8 7.2h6.4v1.6H4.8Z',
};

const KINDS = {
  healthy: 'good', closed: 'good', met: 'good', done: 'good', recovered: 'good', unneeded: 'good', resolved: 'good', reviewed: 'good',
  cleared: 'good', good: 'good', ok: 'good', up: 'good', first: 'good',
  recovering: 'mending', half_open: 'mending', mitigating: 'mending', monitoring: 'mending', acting: 'mending', verifying: 'mending',
  sending: 'mending', resting: 'mending', next: 'mending', lasting: 'mending', injecting: 'warn', settling: 'mending',
  degraded: 'warn', warned: 'warn', pending: 'warn', suspected: 'warn', acknowledged: 'warn', low: 'warn', medium: 'warn',
  asking: 'warn', waiting: 'warn', backup: 'warn', not_possible: 'warn', held: 'warn',
  unhealthy: 'bad', open: 'bad', broken: 'bad', firing: 'bad', high: 'bad', critical: 'bad', down: 'bad', failed: 'bad', dead: 'bad',
  exhausted: 'bad', bad: 'bad', unreachable: 'bad', full: 'bad', damaged: 'bad', gone: 'bad',
};

/** What a word of state means for the eye: good, mending, warn, bad or unknown. */
export const kindOf = (word) => KINDS[word] ?? 'unknown';

/** The shape of a kind: it tells the state without its colour. */
export function shape(kind) {
  return svg('svg', { viewBox: '0 0 16 16', class: `shape is-${kind}`, 'aria-hidden': 'true', focusable: 'false' },
    svg('path', { d: SHAPES[kind], 'fill-rule': 'evenodd' }));
}

/** A word of state with its shape. */
export function badge(word, shown = words(word), kind = kindOf(word)) {
  return h('span', { class: `badge is-${kind}` }, shape(kind), h('span', {}, shown));
}

/** A time in the zone of whoever looks; the title has it in UTC. */
export function when(rfc3339) {
  if (!rfc3339) return NOT_OBSERVED;
  return h('time', { datetime: rfc3339, title: utc(rfc3339) }, localTime(rfc3339));
}

/** A part of a page with its heading. */
export function card(heading, { key = null, aside = null, level = 2, kind = '' } = {}, ...children) {
  return h('section', { class: `card ${kind}`.trim(), 'data-key': key && `card-${key}` },
    h('div', { class: 'card-head' }, h(`h${level}`, {}, heading), aside && h('div', { class: 'aside' }, aside)), ...children);
}

/** What would stand here. */
export function empty(...text) {
  return h('p', { class: 'empty' }, ...text);
}

export function note(...text) {
  return h('p', { class: 'note' }, ...text);
}

/** One number with its name, and what it is of. */
export function stat(name, value, of = null) {
  return h('div', { class: value === NOT_OBSERVED ? 'stat blank' : 'stat' }, h('dt', {}, name), h('dd', {}, value, of && h('small', {}, of)));
}

export function stats(...all) {
  return h('dl', { class: 'stats' }, ...all);
}

/** Names and values; those that are null are left out. */
export function facts(rows) {
  return h('dl', { class: 'facts' }, rows.filter(Boolean).map(([name, value]) => h('div', {}, h('dt', {}, name), h('dd', {}, value))));
}

/**
 * A table in a box of its own that scrolls. Cells: a text, a node, or {number, of, title}. The first cell names its row. One that has
 * more words than numbers becomes a list of cards where there is no room; its roles are written out, for such a list has none.
 */
export function table(caption, heads, rows) {
  const numeric = heads.map((_, at) => rows.some((row) => row.cells[at]?.number === true));
  const cards = numeric.filter(Boolean).length * 2 < heads.length && heads.length > 2;
  const head = (text, at) => h('th', { scope: 'col', role: 'columnheader', class: numeric[at] && 'number' }, text);
  // A caption of one word repeats the heading above it.
  return h('div', { class: 'scroll', role: 'group', 'aria-label': caption },
    h('table', { role: 'table', class: cards && 'cards' }, h('caption', { class: !caption.includes(' ') && 'unseen' }, caption),
      h('thead', { role: 'rowgroup' }, h('tr', { role: 'row' }, heads.map(head))),
      h('tbody', { role: 'rowgroup' }, rows.map((row) => h('tr', { role: 'row', 'data-key': row.key },
        row.cells.map((cell, at) => cellOf(cell, at, numeric[at], heads[at])))))));
}

function cellOf(cell, at, numeric, head) {
  const rich = cell !== null && typeof cell === 'object' && 'of' in cell;
  const value = rich ? cell.of : cell;
  const classes = [numeric && 'number', value === NOT_OBSERVED && 'blank'].filter(Boolean).join(' ') || null;
  return at === 0 ? h('th', { scope: 'row', role: 'rowheader', class: classes }, value)
    : h('td', { role: 'cell', class: classes, 'data-head': head, title: rich ? cell.title : null }, h('div', { class: 'cell' }, value));
}

/** What scrolls in a box of its own can be reached by keyboard; what does not scroll is no stop on the way. */
export function reach(root) {
  for (const box of root.querySelectorAll('.scroll, .sentence, h1.long, .line-text')) {
    if (box.scrollWidth > box.clientWidth + 1 || box.scrollHeight > box.clientHeight + 1) box.setAttribute('tabindex', '0');
    else box.removeAttribute('tabindex');
  }
}

/** A button that does something; `kind`: plain, danger, quiet. */
export function button(text, act, { kind = 'plain', label = null, key = null, disabled = false } = {}) {
  return h('button', { type: 'button', class: `button ${kind}`, 'aria-label': label, 'data-key': key, disabled, onclick: act }, text);
}

/** One of some choices; `chosen` is pressed. */
export function choices(name, all, chosen, choose) {
  return h('div', { class: 'choices', role: 'group', 'aria-label': name }, all.map(([value, text]) => h('button', {
    type: 'button', 'aria-pressed': String(value === chosen), onclick: () => choose(value),
  }, text)));
}

export function link(href, ...text) {
  return h('a', { href }, ...text);
}

/** A link that leaves this page for a document. */
export function documentLink(href, ...text) {
  return h('a', { href, target: '_blank', rel: 'noopener' }, ...text, h('span', { class: 'unseen' }, ' (opens in a new tab)'));
}

/** Names with counts, the largest first; those that are 0 are told in one line. */
export function tally(caption, head, values, unit) {
  const all = Object.entries(values).sort((a, b) => b[1] - a[1]);
  const some = all.filter(([, value]) => value > 0);
  if (some.length === 0) return empty(`${caption}: none so far.`);
  return table(caption, [head, unit], some.map(([name, value]) => ({
    key: name, cells: [words(name), { number: true, of: new Intl.NumberFormat('en').format(value) }],
  })));
}
