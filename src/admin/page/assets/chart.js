// Drawings in SVG. Each has a name and a description, and its numbers stand beside it as text or in a table.

import { svg } from './dom.js';

let drawn = 0;

/** An image with a name and a description for those who do not see it. */
export function image(name, description, attributes, ...children) {
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
