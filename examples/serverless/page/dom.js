// How this page makes elements: whatever is not markup of its own is inserted as text, so that nobody's words become markup.

/** A new element. Strings among `children` become text. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** A new element of an SVG. */
export function svg(tag, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** The element of this id, which index.html has. */
export const byId = (id) => document.getElementById(id);

/** Sets a text if it differs: one that is only written again would lose the reader's selection, and be read aloud again. */
export function setText(target, text) {
  const string = String(text);
  if (target.textContent !== string) target.textContent = string;
}

/** Makes `list`, a `dl`, say `pairs` of term and text. */
export function describe(list, pairs) {
  const terms = [...list.querySelectorAll("dt")];
  if (terms.length !== pairs.length || terms.some((term, index) => term.textContent !== pairs[index][0])) {
    list.replaceChildren(
      ...pairs.map(([term, text]) => element("div", {}, element("dt", {}, term), element("dd", {}, String(text)))),
    );
    return;
  }
  [...list.querySelectorAll("dd")].forEach((value, index) => setText(value, pairs[index][1]));
}

/** Makes `select` offer `values`, and keeps what is chosen if it is still there. `first` is a value and text before them. */
export function offer(select, values, first) {
  const offered = [...select.options].map((option) => option.value);
  const wanted = first ? [first[0], ...values] : values;
  if (offered.length === wanted.length && offered.every((value, index) => value === wanted[index])) return;
  const chosen = select.value;
  const options = values.map((value) => element("option", { value }, value));
  if (first) options.unshift(element("option", { value: first[0] }, first[1]));
  select.replaceChildren(...options);
  if (wanted.includes(chosen)) select.value = chosen;
}
