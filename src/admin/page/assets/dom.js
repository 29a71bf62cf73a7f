// Elements, made without ever reading a text as markup: names and titles here come from traffic that nobody vouches for.

const SVG = 'http://www.w3.org/2000/svg';
const ON = Symbol('listeners');
/** What people type, open or can reach is theirs: a newer drawing leaves it alone. */
const THEIRS = new Set(['open', 'value', 'checked', 'tabindex']);

/** An HTML element. `on…` attributes are functions; null, undefined and false leave an attribute out. */
export function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** An SVG element. */
export function svg(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) set(node, name, value);
  node.append(...nodes(children));
  return node;
}

/** Children as nodes: lists are flattened, nothing is left out but null, undefined and booleans. */
export function nodes(children) {
  return [children].flat(Infinity)
    .filter((child) => child !== null && child !== undefined && typeof child !== 'boolean')
    .map((child) => (child instanceof Node ? child : document.createTextNode(String(child))));
}

function set(node, name, value) {
  if (value === null || value === undefined || value === false) return;
  if (name.startsWith('on')) {
    listen(node, name.slice(2), value);
  } else if (name === 'value') {
    node.value = value;
  } else if (name === 'href' && !/^(#|\/(?!\/))/.test(value)) {
    throw new Error(`not an address of this page: ${value}`);
  } else {
    node.setAttribute(name, value === true ? '' : String(value));
  }
}

function listen(node, type, act) {
  node[ON] ??= {};
  if (!(type in node[ON])) node.addEventListener(type, (event) => node[ON][type]?.(event));
  node[ON][type] = act;
}

const keyOf = (node) => (node.nodeType === Node.ELEMENT_NODE ? node.getAttribute('data-key') : null);

/** Makes the children of `parent` what `next` says, and keeps the elements that stay: focus, scrolling and what is open survive. */
export function patch(parent, next) {
  const keyed = new Map([...parent.children].map((child) => [keyOf(child), child]));
  keyed.delete(null);
  let at = parent.firstChild;
  for (const fresh of nodes(next)) {
    const key = keyOf(fresh);
    const known = key !== null ? keyed.get(key) : at && keyOf(at) === null ? at : null;
    if (known && known.nodeName === fresh.nodeName && known.nodeType === fresh.nodeType) {
      if (known === at) at = at.nextSibling;
      else parent.insertBefore(known, at);
      update(known, fresh);
    } else {
      parent.insertBefore(fresh, at);
    }
  }
  while (at) {
    const gone = at;
    at = at.nextSibling;
    gone.remove();
  }
}

function update(known, fresh) {
  if (known.nodeType === Node.TEXT_NODE) {
    if (known.data !== fresh.data) known.data = fresh.data;
    return;
  }
  for (const { name } of [...known.attributes]) {
    if (!fresh.hasAttribute(name) && !THEIRS.has(name)) known.removeAttribute(name);
  }
  for (const { name, value } of [...fresh.attributes]) {
    if (known.getAttribute(name) !== value && !THEIRS.has(name)) known.setAttribute(name, value);
  }
  for (const type of Object.keys(known[ON] ?? {})) if (!fresh[ON]?.[type]) known[ON][type] = null;
  for (const [type, act] of Object.entries(fresh[ON] ?? {})) listen(known, type, act);
  if (!['INPUT', 'TEXTAREA', 'SELECT'].includes(known.nodeName)) patch(known, [...fresh.childNodes]);
}
