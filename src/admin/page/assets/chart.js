// Drawings in SVG. Each has a name and a description, and its numbers stand beside it as text or in a table.

import { h, svg } from './dom.js';
import { localTime } from './format.js';
import { table } from './parts.js';

let drawn = 0;

/** An image with a name and a description for those who do not see it. */
function image(name, description, attributes, ...children) {
  const id = `drawing-${(drawn += 1)}`;
  return svg('svg', { role: 'img', 'aria-labelledby': `${id}-name ${id}-text`, focusable: 'false', ...attributes },
    svg('title', { id: `${id}-name` }, name), svg('desc', { id: `${id}-text` }, description), ...children);
}

const share = (part) => `${(part * 100).toFixed(3)}%`;
/** A second of a month is still to be seen. */
const LEAST = 0.006;

function piece(from, width, kind) {
  return svg('rect', {
    x: share(Math.min(from, 1 - LEAST)), y: 0, width: share(Math.max(LEAST, width)), height: '100%', class: `seg-${kind}`,
    fill: kind === 'unknown' ? 'url(#hatch)' : null,
  });
}

/** Shares of a whole in one bar: `parts` of {name, value, kind, text}; the kind `unknown` is hatched. */
export function segments(name, parts) {
  const whole = parts.reduce((sum, one) => sum + one.value, 0);
  const shown = parts.filter((one) => one.value > 0);
  let from = 0;
  const bars = shown.map((one) => {
    const bar_ = piece(from, one.value / whole, one.kind);
    from += one.value / whole;
    return [one.value, bar_];
  });
  const description = shown.map((one) => `${one.name}: ${one.text}`).join('; ') || 'nothing observed';
  // The thin ones are drawn last, on top of what is beside them.
  return image(name, description, { class: 'segments' }, bars.sort((a, b) => b[0] - a[0]).map(([, bar_]) => bar_));
}

/** One horizontal bar of 0 to `most`, with a mark at `mark`. */
export function bar(name, text, value, most, mark, kind) {
  return image(name, text, { class: 'segments' },
    value > 0 ? piece(0, Math.min(1, value / most), kind) : null,
    svg('rect', { x: share(mark / most), y: 0, width: 2, height: '100%', class: 'budget-mark' }));
}

/** The pieces of a line: it is broken where nothing was observed, and where the page slept. */
function pieces(points, apart) {
  const all = [[]];
  let last = null;
  for (const point of points) {
    if (point.value === null || (last !== null && point.at - last > apart)) all.push([]);
    if (point.value !== null) all.at(-1).push(point);
    last = point.at;
  }
  return all.filter((run) => run.length > 0);
}

function curves(points, top, apart) {
  const first = points[0].at;
  const span = Math.max(1, points.at(-1).at - first);
  const place = ({ at, value }) => `${(((at - first) / span) * 600).toFixed(1)},${(96 - (value / top) * 90).toFixed(1)}`;
  return pieces(points, apart).map((run) => (run.length === 1
    ? svg('path', { class: 'dot', d: `M${place(run[0])}h0.01` })
    : svg('polyline', { class: 'curve', points: run.map(place).join(' ') })));
}

/** How far up a drawing goes: the largest value, and the budget where it is near. */
function topOf(points, budget) {
  const most = Math.max(...points.map((point) => point.value ?? 0), 0);
  const room = budget !== null && budget <= most * 4 ? Math.max(most, budget) : most;
  return { most, top: room > 0 ? room * 1.1 : 1 };
}

/**
 * A line over time. `points` of {at (ms), value or null}, `apart`: the longest gap (ms) that is bridged, `budget`: a value or null,
 * `say(value)`: a value with its unit.
 */
export function line({ name, points, apart, budget = null, say }) {
  if (points.length < 2) {
    return h('p', { class: 'chart-empty' }, `${name}: drawn from the second look on, 10 s from now.`);
  }
  if (points.every((point) => point.value === null)) return h('p', { class: 'chart-empty' }, `${name}: no exchange yet.`);
  const { most, top } = topOf(points, budget);
  const from = localTime(points[0].at);
  const to = localTime(points.at(-1).at);
  const near = budget !== null && budget <= top;
  const told = budget === null ? '' : near ? ` The dashed line is the budget, ${say(budget)}.` : ` The budget, ${say(budget)}, is far above.`;
  return h('figure', { class: 'chart' },
    h('figcaption', {}, name),
    image(name, `From ${from} to ${to}; the most is ${say(most)}.${told}`,
      { class: 'lines', viewBox: '0 0 600 100', preserveAspectRatio: 'none' },
      svg('line', { class: 'ground', x1: 0, x2: 600, y1: 96, y2: 96 }),
      near ? svg('line', { class: 'budget-line', x1: 0, x2: 600, y1: 96 - (budget / top) * 90, y2: 96 - (budget / top) * 90 }) : null,
      curves(points, top, apart)),
    h('div', { class: 'axis', 'aria-hidden': 'true' }, h('span', {}, from), h('span', {}, `most ${say(most)}`), h('span', {}, to)),
    told ? h('p', { class: 'note' }, told.trim()) : null,
    numbers(name, points, say));
}

function numbers(name, points, say) {
  const latest = points.slice(-30).reverse();
  return h('details', { class: 'numbers' }, h('summary', {}, 'As a table'),
    table(`${name}, the latest ${latest.length}`, ['At', 'Value'], latest.map((point) => ({
      key: String(point.at), cells: [localTime(point.at), { number: true, of: say(point.value) }],
    }))));
}
