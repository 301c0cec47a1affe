// The list of functions: a row for each, kept from poll to poll, so that what a reader has opened, selected or focused stays as it is.

import { byId, describe, element, setText } from "./dom.js";
import * as format from "./format.js";
import { failures, quantile, rateOf, total } from "./history.js";
import { drawSpark, spark } from "./plots.js";
import { told } from "./settings.js";

const COLUMNS = ["Kind", "Version", "Size", "Running / waiting", "Answered", "Failed", "p99", "Requests"];

export class List {
  /** `actions` are buttons of an opened row: their text, and what they do with the function's description. */
  constructor(actions) {
    this.actions = actions;
    this.rows = new Map();
    this.body = byId("functions").tBodies[0];
    this.filter = byId("filter");
    this.filter.addEventListener("input", () => this.sift());
    byId("empty-curl").textContent = firstSteps(location.origin);
  }

  /** Shows these descriptions, which are sorted by name. */
  show(now, descriptions, history) {
    const names = new Set(descriptions.map(({ name }) => name));
    for (const [name, row] of this.rows) {
      if (names.has(name)) continue;
      row.remove();
      this.rows.delete(name);
    }
    let next = this.body.firstElementChild;
    for (const description of descriptions) {
      const row = this.rows.get(description.name) ?? this.insert(description, next);
      next = row.details.nextElementSibling;
      row.show(now, description, history.samples(description.name), history.bounds);
    }
    setText(byId("functions-count"), descriptions.length === 0 ? "" : format.count(descriptions.length));
    byId("empty").hidden = descriptions.length > 0;
    byId("functions-scroll").hidden = byId("filter-label").hidden = descriptions.length === 0;
    this.sift();
  }

  insert(description, next) {
    const row = new Row(description, this.actions);
    this.rows.set(description.name, row);
    this.body.insertBefore(row.line, next);
    this.body.insertBefore(row.details, next);
    return row;
  }

  /** Hides what the filter does not let through. */
  sift() {
    const wanted = this.filter.value.trim().toLowerCase();
    let through = 0;
    for (const [name, row] of this.rows) {
      row.sift(name.toLowerCase().includes(wanted));
      through += Number(!row.line.hidden);
    }
    byId("filter-empty").hidden = through > 0 || this.rows.size === 0;
  }
}

/** A function's line, and its details below, which are hidden until its name is pressed. */
class Row {
  constructor(description, actions) {
    this.description = description;
    this.open = false;
    this.button = element("button", { type: "button", class: "name", "aria-expanded": "false" }, description.name);
    this.button.addEventListener("click", () => this.toggle());
    this.cells = COLUMNS.map((label, index) => element("td", { "data-label": label, class: index === 0 ? "" : "number" }));
    this.spark = spark();
    this.rate = element("span");
    this.cells.at(-1).append(this.spark, this.rate);
    this.line = element("tr", {}, element("th", { scope: "row" }, this.button), ...this.cells);
    this.details = element("tr", { class: "details", hidden: "" }, this.makeDetails(actions));
  }

  makeDetails(actions) {
    this.facts = element("dl");
    this.failed = element("dl");
    this.settings = element("dl");
    const part = (title, list) => element("div", {}, element("h3", {}, title), list);
    const buttons = actions.map(({ text, act, danger }) => {
      const button = element("button", { type: "button", class: danger ? "danger" : "" }, text);
      button.addEventListener("click", () => act(this.description));
      return button;
    });
    const parts = element("div", { class: "facts" }, part("State", this.facts), part("Failures", this.failed), part("Settings", this.settings));
    return element("td", { colspan: String(COLUMNS.length + 1) }, parts, element("p", { class: "actions" }, ...buttons));
  }

  toggle() {
    this.open = !this.open;
    this.button.setAttribute("aria-expanded", String(this.open));
    this.details.hidden = !this.open;
    if (this.open) this.showDetails();
  }

  sift(through) {
    this.line.hidden = !through;
    this.details.hidden = !through || !this.open;
  }

  show(now, description, samples, bounds) {
    this.description = description;
    const { kind, version, bytes, running, waiting, totals } = description;
    const p99 = quantile(bounds, total(samples).counts, 0.99);
    const failed = failures(totals);
    const texts = [
      kind, version, format.bytes(bytes), `${running} / ${waiting}`,
      format.count(totals.ok), format.count(failed), format.latency(p99, bounds),
    ];
    texts.forEach((text, index) => setText(this.cells[index], text));
    this.line.classList.toggle("has-failed", failed > 0);
    const latest = samples.at(-1);
    setText(this.rate, latest === undefined ? "–" : format.rate(rateOf(latest)));
    drawSpark(this.spark, now, samples);
    if (this.open) this.showDetails();
  }

  showDetails() {
    const { deployed, totals, latency, pool, settings } = this.description;
    const all = latency.counts.at(-1) ?? 0;
    const facts = [
      ["Deployed", format.time(deployed)],
      ["Mean latency", all === 0 ? "–" : format.seconds(latency.sum / all)],
      ["p50", format.latency(quantile(latency.le, latency.counts, 0.5), latency.le)],
      ["p99", format.latency(quantile(latency.le, latency.counts, 0.99), latency.le)],
    ];
    if (pool) facts.push(["Sandboxes", `${pool.idle} idle, ${pool.taken} taken`], ["Made, replaced", `${pool.made}, ${pool.replaced}`]);
    const kinds = Object.entries(totals.failed).sort().map(([kind, count]) => [format.kind(kind), format.count(count)]);
    describe(this.facts, facts);
    describe(this.failed, kinds.length === 0 ? [["none", ""]] : kinds);
    describe(this.settings, told(settings));
  }

  remove() {
    this.line.remove();
    this.details.remove();
  }
}

/** How to deploy and call the first function from a shell. */
const firstSteps = (origin) => `curl --upload-file ./hello ${origin}/functions/hello
curl --data-binary 'a body' ${origin}/invoke/hello

# with an API token, both with
#   --header "Authorization: Bearer $TOKEN"`;
