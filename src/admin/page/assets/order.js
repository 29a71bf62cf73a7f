// Orders: a dialog that says what will be done, takes what is needed for it, sends it once, and names the row of the audit log.

import { h, patch } from './dom.js';
import { Problem, freshKey, send } from './api.js';

/** Who gave the last order of this visit; the next dialog says so, too. */
let actor = '';

const WHO = { name: 'actor', label: 'Your name', max: 200 };
export const WHY = { name: 'reason', label: 'Reason', hint: 'Reason and name stand in the audit log.', max: 2000, required: true };
export const WHY_MAYBE = { ...WHY, required: false };

let shown = 0;

function fieldOf(field, id) {
  const about = { id, name: field.name, required: field.required, maxlength: field.max, 'aria-describedby': field.hint && `${id}-hint` };
  const value = field.name === 'actor' ? actor : field.value ?? '';
  if (field.kind === 'check') {
    return h('div', { class: 'field check' }, h('input', { ...about, type: 'checkbox' }), h('label', { for: id }, field.label));
  }
  const control = field.options
    ? h('select', about, field.options.map(([of, text]) => h('option', { value: of, selected: of === value }, text)))
    : field.kind === 'long' ? h('textarea', { ...about, rows: 4, value }) : h('input', { ...about, type: field.kind ?? 'text', value, pattern: field.pattern });
  return h('div', { class: 'field' },
    h('label', { for: id }, field.label, field.required ? null : h('span', { class: 'maybe' }, ' (may be left empty)')),
    control, field.hint && h('p', { class: 'hint', id: `${id}-hint` }, field.hint));
}

/** What was filled in; what was left empty is left out. */
function bodyOf(form, fields, fixed) {
  const body = { ...fixed };
  for (const field of fields) {
    const control = form.elements.namedItem(field.name);
    if (field.kind === 'check') {
      if (control?.checked) body[field.name] = true;
    } else if (control && control.value.trim() !== '') {
      const value = field.kind === 'number' ? Number(control.value) : control.value.trim();
      Object.assign(body, field.put ? field.put(value) : { [field.name]: value });
    }
  }
  return body;
}

const refusal = (problem) => h('div', { class: 'refusal', role: 'alert' },
  h('strong', {}, problem.title), h('p', {}, problem.detail), problem.hint && h('p', { class: 'hint' }, problem.hint));

const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);

const outcome = (answer, say) => [
  h('p', { class: 'done' }, sentence(say(answer))),
  answer.audit_id && h('p', {}, 'Recorded in the audit log as ', h('code', { class: 'audit-id' }, answer.audit_id),
    answer.stored === false ? ', in memory only.' : '.'),
];

/** Sends the same order with the same key, whatever was lost on the way. */
class Sender {
  #body = '';
  #key = '';

  send(method, path, body) {
    const text = JSON.stringify(body);
    if (text !== this.#body) [this.#body, this.#key] = [text, freshKey()];
    return send(method, path, body, this.#key);
  }
}

/**
 * Opens the dialog of an order: `title`, `text` (what it does), `path`, `fields`; `fixed`: what the body has in any case; `verb`: the
 * button; `danger`; `force`: the label of what may be forced after a 409; `say(answer)`; `after(answer)`.
 */
export function order(spec) {
  const { title, text, path, method = 'POST', fixed = {}, verb = title, danger = false } = spec;
  const fields = [...(spec.fields ?? []), WHO];
  const id = `order-${(shown += 1)}`;
  const told = h('div', { class: 'told', 'aria-live': 'polite' });
  const inputs = h('div', { class: 'fields' }, fields.map((field) => fieldOf(field, `${id}-${field.name}`)));
  const go = h('button', { type: 'submit', class: `button ${danger ? 'danger' : 'main'}` }, verb);
  const leave = h('button', { type: 'button', class: 'button quiet', onclick: () => dialog.close() }, 'Cancel');
  const form = h('form', { onsubmit: (event) => { event.preventDefault(); submit(); } }, inputs, told,
    h('div', { class: 'buttons' }, leave, go));
  const dialog = h('dialog', { class: 'order', 'aria-labelledby': `${id}-title`, onclose: () => dialog.remove() },
    h('h2', { id: `${id}-title` }, title), text && h('p', {}, text), form);
  const sender = new Sender();

  async function submit() {
    const body = bodyOf(form, fields, fixed);
    actor = body.actor ?? '';
    go.disabled = true;
    try {
      finish(await sender.send(method, path, body));
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      refused(problem);
    }
  }

  function refused(problem) {
    go.disabled = false;
    patch(told, [refusal(problem)]);
    if (spec.force && problem.status === spec.force.status && !form.elements.namedItem('force')) {
      const field = { name: 'force', label: spec.force.label, kind: 'check' };
      fields.push(field);
      inputs.append(fieldOf(field, `${id}-force`));
    }
  }

  function finish(answer) {
    patch(told, outcome(answer, spec.say ?? ((one) => one.note ?? 'Done.')));
    inputs.remove();
    go.remove();
    leave.textContent = 'Close';
    leave.focus();
    spec.after?.(answer);
  }

  document.body.append(dialog);
  dialog.showModal();
}
