// The config in force, who changed what, and how the process itself is.

import { h } from './dom.js';
import { get } from './api.js';
import { bytes, count, counted, duration, percent, words, NOT_OBSERVED } from './format.js';
import { badge, button, card, empty, facts, foreign, note, stat, stats, table, when } from './parts.js';
import { WHY_MAYBE, order } from './order.js';

export const title = () => 'Settings';

export function load() {
  return Promise.all(['/config', '/audit?limit=50', '/health/comprehensive', '/alerts', '/rules', '/infrastructure'].map(get));
}

export function draw([config, audit, health, alerts, rules, infrastructure], ctx) {
  return [
    h('h1', {}, 'Settings'),
    h('p', { class: 'lead' }, 'The config in force, who changed what, and how Strop itself is.'),
    inForce(config, ctx), effective(config, ctx), auditLog(audit), alertList(alerts), ruleList(rules), sidecar(health), listeners(infrastructure), store(health.store), fleet(health.fleet), logOut(config),
  ];
}

function inForce(config, ctx) {
  const aside = button('Read the file again', () => reload(ctx), { key: 'reload' });
  return card('Config', { key: 'config', aside }, facts([
    ['File', config.path ? foreign(config.path) : 'none: built in'], ['Loaded', when(config.loaded_at)],
    config.file_changed_at && ['File changed', when(config.file_changed_at)], ['Generation', count(config.generation)], ['Hash', h('code', {}, config.hash)],
  ]), config.last_reload ? lastReload(config.last_reload) : note('It was not read again since the start.'));
}

function lastReload(last) {
  const refused = last.refused.length > 0;
  const changes = [...last.applied.map((one) => ['applied', one]), ...last.needs_restart.map((one) => ['waits for a restart', one])];
  return [
    h('p', {}, refused ? badge('bad', 'refused') : badge('done', 'in force'), ' last read again ', when(last.at), ' by ', foreign(last.actor), ` (${words(last.cause)})`, last.reason ? [': ', foreign(last.reason)] : null),
    refused ? table('Why it was refused', ['Where', 'Line', 'Problem'], last.refused.map((one, at) => ({
      key: String(at), cells: [foreign(one.path || '—'), { number: true, of: `${one.line}:${one.column}` }, foreign(one.message)],
    }))) : null,
    changes.length > 0 ? table('What changed', ['Key', 'State', 'From', 'To'], changes.map(([state, one]) => ({
      key: one.path, cells: [foreign(one.path), state, foreign(told(one.from)), foreign(told(one.to))],
    }))) : null,
  ];
}

const told = (value) => (value === null || value === undefined ? 'not set' : typeof value === 'string' ? value : JSON.stringify(value));

function reload(ctx) {
  order({
    title: 'Read the config file again', verb: 'Read it again', path: '/config/reload', fields: [WHY_MAYBE], after: ctx.refresh,
    text: 'It is checked first: a file that cannot run changes nothing. What is applied is in force for the next request.',
    say: (answer) => `${counted(answer.applied.length, 'change')} applied, ${counted(answer.needs_restart.length, 'change')} waiting for a restart; generation ${answer.generation}.`,
  });
}

/** Each value with the path of its key, as it is shown and as its origin is kept by; what is empty is told as such. */
function leaves(value, path, key) {
  if (value !== null && typeof value === 'object' && Object.keys(value).length > 0 && !(Array.isArray(value) && value.every((one) => one === null || typeof one !== 'object'))) {
    return Object.entries(value).flatMap(([name, inner]) => leaves(inner, Array.isArray(value) ? `${path}[${name}]` : path ? `${path}.${name}` : name, `${key}.${name}`));
  }
  return [[path, value, key]];
}

/** What gives a value, in words; one that nobody gives has its default. */
function origin(of) {
  switch (of?.from) {
    case undefined: return 'default';
    case 'file': return of.line ? `file, line ${of.line}` : 'file';
    case 'environment': case 'argument': return `${of.from} ${of.variable}`;
    default: return of.from;
  }
}

/** How many values come from where, beside the defaults. */
function tallied(origins) {
  const kinds = [['file', 'come from the file'], ['environment', 'from the environment'], ['argument', 'from arguments'], ['preset', 'from presets']];
  const all = Object.values(origins);
  const some = kinds.map(([from, text]) => [all.filter((one) => one.from === from).length, text]).filter(([found]) => found > 0);
  return some.length === 0 ? 'All have their defaults.' : `Of all, ${some.map(([found, text]) => `${count(found)} ${text}`).join(', ')}; the rest have their defaults.`;
}

function shown(value) {
  if (value === null) return ['not set', true];
  if (Array.isArray(value)) return value.length === 0 ? ['none', true] : [value.join(', '), false];
  if (typeof value === 'object') return ['nothing', true];
  return [String(value), false];
}

function effective(config, ctx) {
  const wanted = (ctx.memory.filter ?? '').toLowerCase();
  const sections = Object.entries(config.effective).map(([name, value]) => [name, leaves(value, '', name).map(([path, leaf, key]) => [path, leaf, origin(config.origins[key])]).filter(([path, leaf, from]) => {
    return wanted === '' || `${name}.${path} ${shown(leaf)[0]} ${from}`.toLowerCase().includes(wanted);
  })]).filter(([, rows]) => rows.length > 0);
  const found = sections.reduce((sum, [, rows]) => sum + rows.length, 0);
  return card('Values in force', { key: 'effective' },
    h('div', { class: 'field' }, h('label', { for: 'settings-filter' }, 'Find a key, a value or where it comes from'),
      h('input', { id: 'settings-filter', type: 'search', oninput: (event) => { ctx.memory.filter = event.target.value; ctx.redraw(); } })),
    note(`${counted(found, 'value')}${wanted ? ' found' : ', all defaults filled in'}. ${tallied(config.origins)} Secrets are never shown.`),
    sections.map(([name, rows]) => section(name, rows, wanted !== '')));
}

function section(name, rows, open) {
  return h('details', { class: 'section', 'data-key': `${name}-${open}`, open }, h('summary', {}, h('code', {}, `[${name}]`), ` ${counted(rows.length, 'value')}`),
    table(`Values of ${name}`, ['Key', 'Value', 'From'], rows.map(([path, leaf, from]) => {
      const [text, blank] = shown(leaf);
      return { key: path, cells: [h('code', {}, foreign(path || name)), blank ? h('span', { class: 'blank' }, text) : foreign(text),
        from === 'default' ? h('span', { class: 'blank' }, from) : foreign(from)] };
    })));
}

function auditLog(audit) {
  const rows = audit.mutations.map((one) => ({
    key: one.id, cells: [when(one.at), foreign(one.actor), foreign(words(one.action)), foreign(one.target), foreign(one.reason || '—'), h('code', {}, one.id)],
  }));
  return card('Audit log', { key: 'audit' }, rows.length === 0 ? empty('Nobody changed anything yet. Each order and each config that was applied or refused is a row here.')
    : table('Audit log, the youngest first', ['At', 'Who', 'What', 'Of', 'Reason', 'Number'], rows),
  note(audit.kept_in === 'store' ? 'Kept in the store.' : 'Kept in memory: it is gone with the process. [store] in the config keeps it.', audit.next ? ' The newest 50 are shown.' : ''));
}

function alertList(state) {
  return card('Alerts', { key: 'alerts' }, state.alerts.length === 0 ? empty('No alert is pending or firing.')
    : table('Alerts', ['Rule', 'State', 'Service', 'Scope', 'First bad', 'Incident'], state.alerts.map((one, at) => ({
      key: `${one.rule}-${one.service}-${one.scope}-${at}`,
      cells: [words(one.rule), badge(one.state), foreign(one.service), foreign(one.scope || '—'), one.first_bad_at ? when(one.first_bad_at) : NOT_OBSERVED,
        one.incident ? h('a', { href: `#/incidents/${encodeURIComponent(one.incident)}` }, one.incident) : '—'],
    }))));
}

function ruleList(state) {
  const found = (one) => (one.firing > 0 ? badge('firing', `${count(one.firing)} firing`) : one.pending > 0 ? badge('pending', `${count(one.pending)} pending`) : one.on ? badge('good', 'finds nothing') : badge('unknown', 'off'));
  return card('Rules', { key: 'rules' }, table('Rules in force, causes first', ['Rule', 'Now', 'Finds that', 'Threshold'], state.rules.map((one) => ({
    key: one.rule, cells: [words(one.rule), found(one), one.meaning, one.threshold],
  }))), note(`An incident ends once all is good for ${duration(state.clear_after_seconds)}. Rules are set in [incidents] of the config.`));
}

const VALID = { valid: 'good', not_yet: 'warn', over: 'bad', not_observable: 'unknown' };
/** Days left from which on a certificate is looked at twice. */
const SOON = 21;

function listeners(state) {
  const lasts = (one) => badge(one.validity, one.validity === 'valid' ? `${counted(one.days_left, 'day')} left` : words(one.validity), one.validity === 'valid' && one.days_left < SOON ? 'warn' : VALID[one.validity]);
  return card('Listeners and certificates', { key: 'listeners' },
    table('Where this process listens', ['Listener', 'Address', 'TLS', 'Connections now'], state.listeners.map((one) => ({
      key: one.name, cells: [foreign(one.name), foreign(one.address), one.tls ? 'yes' : 'no', { number: true, of: count(one.connections) }],
    }))),
    state.certificates.length === 0 ? note(state.listeners.some((one) => one.tls) ? 'Certificates are looked at every 10 s; none was read yet.' : 'No listener shows a certificate.')
      : table('Certificates that clients are shown', ['Listener', 'State', 'From', 'Until'], state.certificates.map((one) => ({
        key: one.listener, cells: [foreign(one.listener), lasts(one), when(one.valid_from), when(one.valid_until)],
      }))),
    state.upstream_certificates.length === 0 ? null
      : table('Certificates that upstreams show', ['Server', 'Of', 'State', 'Until', 'Last shown'], state.upstream_certificates.map((one) => ({
        key: `${one.upstream}-${one.host}`, cells: [foreign(one.host), foreign(one.upstream), lasts(one), one.valid_until ? when(one.valid_until) : NOT_OBSERVED, one.seen_at ? when(one.seen_at) : NOT_OBSERVED],
      }))));
}

function sidecar(health) {
  const one = health.sidecar;
  return card('This process', { key: 'sidecar' },
    stats(stat('version', one.version), stat('runs for', duration(Math.round(one.uptime_seconds))), stat('takes traffic', one.ready ? 'yes' : 'no', one.not_ready_because.join('; ') || null),
      stat('file descriptors', count(one.file_descriptors.in_use), `of ${count(one.file_descriptors.limit)}`), stat('buffers', bytes(one.buffers.process), `of ${bytes(one.buffers.limit)}`), stat('panics', count(one.panics))),
    table('Resources', ['Resource', 'Of', 'Used', 'Read from'], health.resources.map((each, at) => ({
      key: `${each.resource}-${at}`, cells: [each.resource, foreign(each.which), { number: true, of: percent(each.used) }, foreign(each.read_from)],
    }))));
}

function store(state) {
  if (!state) return card('Store', { key: 'store' }, empty('No store is set: incidents, uptime and the audit log are gone with the process. [store] in the config keeps them.'));
  return card('Store', { key: 'store' }, h('p', {}, badge(state.state), ' since ', when(state.since)), facts([
    ['Database', foreign(state.database)], ['Committed', count(state.committed)], ['Backlog', `${count(state.backlog)} of at most ${count(state.backlog_limit)}`],
    ['Refused', count(state.refused)], state.last_error && ['Last error', foreign(state.last_error)], state.moved_aside && ['Moved aside', foreign(state.moved_aside)],
    state.backup && ['Backups', `${count(state.backup.good)} good, ${count(state.backup.failed)} failed`], state.backup?.last_good && ['Last good copy', when(state.backup.last_good.at)],
    state.audit_head && ['Head of the audit log', h('code', { class: 'foreign' }, state.audit_head)]]));
}

function fleet(state) {
  if (!state) return card('Fleet', { key: 'fleet' }, empty('This process is alone: with [fleet] in the config several share who is called.'));
  return card('Fleet', { key: 'fleet' }, facts([['Duty', words(state.duty)], state.holder && ['Held by', foreign(state.holder)], ['Since', when(state.since)]]),
    table('Members', ['Member', 'Last heard', 'Alerts'], state.members.map((one) => ({
      key: one.boot, cells: [[foreign(one.name), one.self ? ', this one' : ''], { number: true, of: `${duration(one.age_seconds)} ago` }, { number: true, of: count(one.alerts) }],
    }))));
}

function logOut(config) {
  if (!config.effective.admin?.token_file) return null;
  return h('form', { method: 'post', action: '/ui/logout' }, h('button', { class: 'button', type: 'submit' }, 'Log out'));
}
