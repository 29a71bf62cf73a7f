// Numbers, times and words as they are shown. What is not observed is said to be so; it is never 0.

export const NOT_OBSERVED = 'not observed';
const NBSP = '\u00a0';

const missing = (value) => value === null || value === undefined || Number.isNaN(value);
const grouped = (digits) => new Intl.NumberFormat('en', { maximumFractionDigits: digits });
const plain = grouped(0);

/** 1,234 */
export function count(value) {
  return missing(value) ? NOT_OBSERVED : plain.format(value);
}

/** `1 request`, `2 requests`; `many` where an s does not do. */
export function counted(value, one, many = `${one}s`) {
  return missing(value) ? NOT_OBSERVED : `${count(value)}${NBSP}${value === 1 ? one : many}`;
}

/** A share of 0 to 1 in percent, cut off rather than rounded, with so many digits that what is not all is not 100. */
export function percent(share) {
  if (missing(share)) return NOT_OBSERVED;
  if (share === 0 || share === 1) return `${share * 100}${NBSP}%`;
  const near = Math.min(share, 1 - share) * 100;
  if (near <= 0) return `${number(share * 100, 2)}${NBSP}%`;
  if (share < 1e-7) return `<${NBSP}0.00001${NBSP}%`;
  const digits = near >= 10 ? 1 : Math.min(7, Math.max(2, 1 - Math.floor(Math.log10(near))));
  const scale = 10 ** digits;
  // 1e-9 takes back what binary fractions lose: 0.29 is 28.999999999999996 %.
  const cut = Math.floor(share * 100 * scale + 1e-6) / scale;
  return `${number(Math.min(cut, share < 1 ? 100 - 1 / scale : cut), digits)}${NBSP}%`;
}

function number(value, digits) {
  return grouped(digits).format(value);
}

/** Three digits that count: 0.71, 12.4, 1,230. */
export function digits(value) {
  if (missing(value)) return NOT_OBSERVED;
  const size = Math.abs(value);
  return number(value, size === 0 || size >= 100 ? 0 : size >= 10 ? 1 : size >= 0.01 ? 2 : 4);
}

export function millis(value) {
  if (missing(value)) return NOT_OBSERVED;
  return value >= 1000 ? duration(value / 1000) : `${digits(value)}${NBSP}ms`;
}

const UNITS = [['d', 86400], ['h', 3600], ['min', 60], ['s', 1]];

/** The two largest units: `4 min 10 s`. */
export function duration(seconds) {
  if (missing(seconds)) return NOT_OBSERVED;
  if (seconds < 0) return `-${duration(-seconds)}`;
  if (seconds > 0 && seconds < 1) return `${digits(seconds * 1000)}${NBSP}ms`;
  if (seconds < 60) return `${digits(seconds < 10 ? seconds : Math.round(seconds * 10) / 10)}${NBSP}s`;
  const whole = Math.round(seconds);
  const at = UNITS.findIndex(([, size]) => whole >= size);
  const [unit, size] = UNITS[at];
  const [next, nextSize] = UNITS[at + 1] ?? ['', 1];
  const rest = Math.floor((whole % size) / nextSize);
  return `${Math.floor(whole / size)}${NBSP}${unit}${rest > 0 ? ` ${rest}${NBSP}${next}` : ''}`;
}

/** Whole seconds, for ages that tick. */
export function age(seconds) {
  return duration(Math.max(0, Math.round(seconds)));
}

export function bytes(value) {
  if (missing(value)) return NOT_OBSERVED;
  const at = Math.min(4, Math.floor(Math.log2(Math.max(1, value)) / 10));
  return `${digits(value / 1024 ** at)}${NBSP}${['B', 'KiB', 'MiB', 'GiB', 'TiB'][at]}`;
}

/** Events per second of a window of so many seconds. */
export function perSecond(events, seconds) {
  return missing(events) || !(seconds > 0) ? NOT_OBSERVED : `${digits(events / seconds)}${NBSP}/s`;
}

const SECONDS = { s: 1, m: 60, h: 3600, d: 86400 };

/** `10s`, `5m`, `3d` in seconds. */
export function windowSeconds(name) {
  const [, size, unit] = /^(\d+)([smhd])$/.exec(name) ?? [];
  return size ? Number(size) * SECONDS[unit] : null;
}

/** `5m` is shown as `5 min`. */
export function windowName(name) {
  const [, size, unit] = /^(\d+)([smhd])$/.exec(name) ?? [];
  return size ? `${size}${NBSP}${unit === 'm' ? 'min' : unit}` : name;
}

const DAY = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short' });
const CLOCK = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });

/** A time in the zone of whoever looks: the clock today, else with its day. */
export function localTime(rfc3339) {
  const at = new Date(rfc3339);
  if (Number.isNaN(at.getTime())) return String(rfc3339);
  const today = at.toDateString() === new Date().toDateString();
  return today ? CLOCK.format(at) : `${DAY.format(at)}, ${CLOCK.format(at)}`;
}

/** The same in UTC, for titles. */
export function utc(rfc3339) {
  const at = new Date(rfc3339);
  return Number.isNaN(at.getTime()) ? String(rfc3339) : `${at.toISOString().replace('T', ' ').slice(0, 19)} UTC`;
}

/** `half_open` is `half open`. */
export function words(name) {
  return missing(name) ? NOT_OBSERVED : String(name).replaceAll('_', ' ');
}

/** Control characters, direction marks and what has no width, told by number: they shall not dress a text up. */
export function visible(text) {
  return String(text).replace(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g,
    (mark) => `\u2039U+${mark.codePointAt(0).toString(16).toUpperCase().padStart(4, '0')}\u203a`);
}
