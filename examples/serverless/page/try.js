// Trying a function: a body in, and what came back as text, whatever it is.

import * as api from "./api.js";
import { byId, describe, element, offer, setText } from "./dom.js";
import * as format from "./format.js";
import { failed } from "./result.js";

/** Most characters of an answer that are shown; all of it can be saved. */
const SHOWN = 65_536;

export class Try {
  constructor() {
    this.select = byId("try-function");
    this.text = byId("try-text");
    this.file = byId("try-file");
    this.result = byId("try-result");
    this.form = byId("try");
    this.saved = null;
    this.form.addEventListener("change", () => this.choose());
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.send();
    });
    byId("try-cancel").addEventListener("click", () => this.abort.abort());
    this.choose();
  }

  know(names) {
    offer(this.select, names);
  }

  /** Prepares a request to a function. */
  prepare({ name }) {
    this.select.value = name;
    byId("try-heading").scrollIntoView();
    this.text.focus();
  }

  fromFile() {
    return this.form.elements.namedItem("body").value === "file";
  }

  /** Shows the field that the body is taken from. */
  choose() {
    this.text.hidden = this.fromFile();
    this.file.hidden = !this.fromFile();
    this.file.required = this.fromFile();
  }

  async send() {
    this.abort = new AbortController();
    this.busy(true);
    const begun = performance.now();
    try {
      const body = this.fromFile() ? this.file.files[0] : this.text.value;
      const response = await api.invoke(this.select.value, body, this.abort.signal);
      await this.show(response, begun);
    } catch (error) {
      const what = this.result.firstChild === null ? "No answer" : "The answer broke off";
      const cancelled = this.abort.signal.aborted;
      this.result.append(cancelled ? element("p", { class: "bad" }, "Cancelled.") : failed(what, error));
    }
    this.busy(false);
  }

  busy(busy) {
    if (busy) this.clear();
    byId("try-send").disabled = busy;
    byId("try-cancel").hidden = !busy;
    this.result.setAttribute("aria-busy", String(busy));
  }

  clear() {
    this.result.replaceChildren();
    if (this.saved !== null) URL.revokeObjectURL(this.saved);
    this.saved = null;
  }

  async show(response, begun) {
    const code = element("b", {}, `${response.status} ${response.statusText}`);
    const facts = element("span");
    const status = element("p", { class: response.ok ? "good" : "bad" }, code, " ", facts);
    const headers = element("dl", { class: "headers" });
    describe(headers, [...response.headers]);
    const body = element("pre", { tabindex: "0", "aria-label": "Body of the answer" });
    this.result.append(status, body, element("details", {}, element("summary", {}, "Headers"), headers));
    const id = response.headers.get("x-request-id");
    const request = id === null ? "" : `, request ${id}`;
    const parts = await read(response, (text, size) => {
      setText(body, text);
      setText(facts, `${format.seconds((performance.now() - begun) / 1000)}, ${format.bytes(size)}${request}`);
    });
    if (response.ok) this.offerToSave(parts);
    else body.replaceWith(failed("The request failed", api.problemOf(response, body.textContent)));
  }

  /** Offers an answer as a file. Its type is one that no browser shows, as a page of a function's making would be one of this server. */
  offerToSave(parts) {
    this.saved = URL.createObjectURL(new Blob(parts, { type: "application/octet-stream" }));
    const link = element("a", { href: this.saved, download: `${this.select.value}.out` }, "Save the body");
    this.result.append(element("p", {}, link));
  }
}

/** Reads an answer, and tells what there is of it, as text, as often as there is more. */
async function read(response, tell) {
  const decoder = new TextDecoder();
  const parts = [];
  let text = "";
  let size = 0;
  tell(text, size);
  if (response.body === null) return parts;
  const reader = response.body.getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    parts.push(part.value);
    size += part.value.length;
    if (text.length <= SHOWN) text += decoder.decode(part.value, { stream: true });
    tell(text.length > SHOWN ? `${text.slice(0, SHOWN)}\n… more is in the file that can be saved` : text, size);
  }
  return parts;
}
