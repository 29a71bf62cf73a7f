// Drawings over time: each has a name and a description, a scale with units, and its numbers in a table beside it. A time that was
// not observed is hatched; it is never drawn as 0.

import { h, svg } from './dom.js';
import { localTime } from './format.js';
import { image } from './chart.js';
import { table } from './parts.js';

const percent = (share) => `${(share * 100).toFixed(2)}%`;
/** Rows of the table beside a drawing. */
const TOLD = 30;

/**
 * A drawing of steps. `steps` of {at}, of which `seen(step)` says whether anything was observed; `ticks` of {at: 0 (bottom) to 1, text},
 * `marks` of the same with a `kind`: lines that mean something. What is drawn has a width of one for each step and a height of 100.
 */
export function plot({ name, description, steps, seen, ticks, marks = [], drawn, heads, row, kind = '', legend = null }) {
  const far = steps.length;
  return h('figure', { class: `chart ${kind}`.trim() },
    h('figcaption', {}, name), legend,
    image(name, description, { class: 'plot' },
      svg('svg', { viewBox: `0 0 ${far} 100`, preserveAspectRatio: 'none', width: '100%', height: '100%', 'aria-hidden': 'true' }, drawn),
      unseen(steps, seen),
      ticks.map(({ at, text }) => rule(at, text, 'tick')), marks.map((mark) => rule(mark.at, mark.text, `mark-${mark.kind}`))),
    h('div', { class: 'axis', 'aria-hidden': 'true' }, h('span', {}, localTime(steps[0].at)), h('span', {}, localTime(steps.at(-1).at))),
    numbers(name, steps, seen, heads, row));
}

/** Where the text of a line ends: two that are near each other do not meet. */
const TEXT_AT = { 'mark-budget': '100%', 'mark-alert': '66%' };

/** A line across at a value, with the value on it. */
function rule(at, text, kind) {
  const y = percent(1 - at);
  return [svg('line', { x1: 0, x2: '100%', y1: y, y2: y, class: `rule ${kind}` }),
    svg('text', { x: TEXT_AT[kind] ?? 4, dx: kind in TEXT_AT ? -4 : 0, y, dy: at > 0.9 ? 11 : -3, class: `rule-text ${kind}`, 'text-anchor': kind in TEXT_AT ? 'end' : 'start' }, text)];
}

/** Where nothing was observed. */
function unseen(steps, seen) {
  return runs(steps, (step) => !seen(step)).map(([from, to]) => svg('rect', {
    x: percent(from / steps.length), width: percent((to - from) / steps.length), y: 0, height: '100%', fill: 'url(#hatch)', class: 'unobserved',
  }));
}

/** From where to before where steps are such, run by run. */
export function runs(steps, such) {
  const all = [];
  steps.forEach((step, at) => {
    if (!such(step)) return;
    if (all.length > 0 && all.at(-1)[1] === at) all.at(-1)[1] = at + 1;
    else all.push([at, at + 1]);
  });
  return all;
}

function numbers(name, steps, seen, heads, row) {
  const latest = steps.slice(-TOLD).reverse();
  return h('details', { class: 'numbers' }, h('summary', {}, 'As a table'),
    table(`${name}, the latest ${latest.length} steps`, ['From', ...heads], latest.map((step) => ({
      key: step.at, cells: [localTime(step.at), ...row(step, seen(step))],
    }))));
}

/** A line through the middle of the steps, broken where `value(step)` is null; `place` takes a value to 0 (bottom) to 1. */
export function curve(steps, value, place, kind) {
  return runs(steps, (step) => value(step) !== null).map(([from, to]) => {
    const points = steps.slice(from, to).map((step, at) => `${from + at + 0.5},${(100 - place(value(step)) * 100).toFixed(2)}`);
    return points.length === 1
      ? svg('path', { class: `curve ${kind} dot`, d: `M${points[0]}h0.01` })
      : svg('polyline', { class: `curve ${kind}`, points: points.join(' ') });
  });
}

/** Boxes of one kind as one path: {at, from, to} with heights of 0 to 1. */
export function boxes(all, kind) {
  if (all.length === 0) return null;
  const number = (value) => Number(value.toFixed(2));
  return svg('path', { class: kind, d: all.map(({ at, from, to }) => `M${at} ${number(100 - to * 100)}h1v${number((to - from) * 100)}h-1z`).join('') });
}

/** A scale by powers of ten between two values: place(value) is 0 to 1, and where its ticks are. */
export function logScale(least, most, say) {
  const low = Math.log10(least);
  const high = Math.max(Math.log10(most), low + 0.5);
  const place = (value) => Math.min(1, Math.max(0, (Math.log10(Math.max(value, least)) - low) / (high - low)));
  const ticks = [];
  for (let power = Math.ceil(low); power <= Math.floor(high); power += 1) ticks.push({ at: place(10 ** power), text: say(10 ** power) });
  return { place, ticks: ticks.length > 0 ? ticks : [{ at: place(most), text: say(most) }] };
}

/** A scale from 0 to a round number that holds `most`. */
export function linearScale(most, say) {
  const power = 10 ** Math.floor(Math.log10(most > 0 ? most : 1));
  const top = [1, 2, 5, 10].map((step) => step * power).find((value) => value >= most) ?? 10 * power;
  return { place: (value) => value / (top * 1.08), ticks: [{ at: 0.5 / 1.08, text: say(top / 2) }, { at: 1 / 1.08, text: say(top) }] };
}
