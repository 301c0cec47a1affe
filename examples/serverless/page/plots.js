// The plots: requests, latency and failures over the window, as SVG.
//
//   rate       answered and failed requests, stacked, from zero
//   latency    p50 and p99 of each poll's requests, on a logarithmic scale
//   failures   each kind of failure, stacked, from zero
//
// Each plot is drawn anew once a second. Below it a legend has the newest values, or those where the pointer or the arrow keys are.

import { element, svg, setText } from "./dom.js";
import * as format from "./format.js";
import { WINDOW_SECONDS, failures, quantile, rateOf, total } from "./history.js";

const HEIGHT = 168;
const MARGIN = { top: 10, right: 10, bottom: 22, left: 52 };

/** Colours that page.css has for kinds of failure. A kind keeps the one that it got first. */
const COLOURS = 8;
const colours = new Map();

function colourOf(kind) {
  if (!colours.has(kind)) colours.set(kind, colours.size % COLOURS);
  return `kind-${colours.get(kind)}`;
}

/** The three plots. */
export class Plots {
  constructor(rate, latency, failed) {
    // The moment that is looked at, in seconds before now: the same in all plots.
    this.looked = null;
    const look = (ago) => {
      this.looked = ago;
      this.draw();
    };
    this.rate = new Plot(rate, "Requests per second", look);
    this.latency = new Plot(latency, "Latency", look);
    this.failed = new Plot(failed, "Failures per second, by kind", look);
    this.shown = null;
  }

  /** Shows the samples as they are at `now`. */
  show(now, samples, bounds) {
    this.shown = { now, samples, bounds };
    this.draw();
  }

  draw() {
    if (this.shown === null) return;
    const { now, samples, bounds } = this.shown;
    const view = { now, samples, looked: this.looked };
    const answered = { name: "answered", colour: "answered", value: (sample) => sample.ok / sample.elapsed, text: format.rate };
    const failing = { name: "failed", colour: "failed", value: (sample) => failures(sample) / sample.elapsed, text: format.rate };
    this.rate.stack(view, [failing, answered]);

    const text = (value) => format.latency(value, bounds);
    const stayedBelow = (q) => (sample) => quantile(bounds, sample.counts, q);
    const p50 = { name: "p50", colour: "p50", value: stayedBelow(0.5), text };
    const p99 = { name: "p99", colour: "p99", value: stayedBelow(0.99), text };
    this.latency.lines(view, [p50, p99], bounds);

    const kinds = Object.entries(total(samples).failed).filter(([, count]) => count > 0);
    this.failed.stack(view, kinds.sort().map(([kind, count]) => ({
      name: `${format.kind(kind)} (${format.count(count)})`,
      colour: colourOf(kind),
      value: (sample) => (sample.failed[kind] ?? 0) / sample.elapsed,
      text: format.rate,
    })));
  }
}

/** One plot: a figure with a caption, an SVG and a legend. */
class Plot {
  constructor(figure, title, look) {
    this.title = title;
    this.svg = svg("svg", { class: "plot", height: HEIGHT, role: "img", tabindex: "0" });
    this.caption = element("figcaption");
    this.legend = element("ul", { class: "legend" });
    figure.append(this.caption, this.svg, this.legend);
    this.listen(look);
  }

  listen(look) {
    let ago = null;
    const to = (next) => look((ago = next === null ? null : Math.min(Math.max(next, 0), WINDOW_SECONDS)));
    this.svg.addEventListener("pointermove", (event) => {
      const across = event.clientX - this.svg.getBoundingClientRect().left - MARGIN.left;
      to(WINDOW_SECONDS * (1 - across / this.width()));
    });
    this.svg.addEventListener("pointerleave", () => to(null));
    this.svg.addEventListener("blur", () => to(null));
    this.svg.addEventListener("keydown", (event) => {
      const steps = { ArrowLeft: 1, ArrowRight: -1 };
      if (event.key === "Escape") to(null);
      if (!(event.key in steps)) return;
      event.preventDefault();
      to((ago ?? 0) + steps[event.key]);
    });
  }

  /** The width of what is between the margins. */
  width() {
    return Math.max(this.svg.clientWidth - MARGIN.left - MARGIN.right, 1);
  }

  /** Draws series on top of each other. */
  stack(view, series) {
    const heights = view.samples.map((sample) => series.reduce((sum, { value }) => sum + value(sample), 0));
    const top = roundUp(Math.max(1, ...heights));
    const y = (value) => MARGIN.top + (HEIGHT - MARGIN.top - MARGIN.bottom) * (1 - value / top);
    const below = view.samples.map(() => 0);
    const areas = series.map(({ colour, value }) => {
      const from = [...below];
      view.samples.forEach((sample, index) => (below[index] += value(sample)));
      const points = view.samples.map((sample, index) => [this.x(view, sample), y(below[index]), y(from[index])]);
      return svg("path", { class: `area ${colour}`, d: runs(view.samples, points).map(outline).join("") });
    });
    const ticks = [0, top / 2, top].map((value) => [y(value), format.rate(value)]);
    this.put(view, series, ticks, areas);
  }

  /** Draws series as lines, on a logarithmic scale. */
  lines(view, series, bounds) {
    const clamp = (value) => Math.min(value, bounds.at(-1));
    const values = series.flatMap(({ value }) => view.samples.map(value)).filter((value) => value !== null).map(clamp);
    const low = Math.floor(Math.log10(Math.min(...values, 0.001)));
    const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...values, 0.01))));
    const y = (value) => MARGIN.top + ((HEIGHT - MARGIN.top - MARGIN.bottom) * (high - Math.log10(value))) / (high - low);
    const paths = series.map(({ colour, value }) => {
      const known = view.samples.filter((sample) => value(sample) !== null);
      const points = known.map((sample) => [this.x(view, sample), y(Math.max(clamp(value(sample)), 10 ** low))]);
      return svg("path", { class: `line ${colour}`, d: runs(known, points).map(polyline).join("") });
    });
    const decades = Array.from({ length: high - low + 1 }, (_, index) => 10 ** (low + index));
    this.put(view, series, decades.map((value) => [y(value), format.seconds(value)]), paths);
  }

  x(view, sample) {
    return MARGIN.left + this.width() * (1 - (view.now - sample.at) / WINDOW_SECONDS);
  }

  put(view, series, ticks, marks) {
    const sample = sampleAt(view);
    this.svg.replaceChildren(...this.grid(ticks), ...marks, ...this.cursor(view, sample));
    const told = series.map(({ name, value, text }) => [name, sample === undefined ? "–" : text(value(sample))]);
    const isNow = view.looked === null || sample === undefined;
    this.tell(series, told, isNow ? this.title : `${this.title}, ${Math.round(view.now - sample.at)} s ago`);
  }

  grid(ticks) {
    const [left, right, bottom] = [MARGIN.left, MARGIN.left + this.width(), HEIGHT - MARGIN.bottom];
    const levels = ticks.flatMap(([y, label]) => [
      svg("line", { class: "grid", x1: left, x2: right, y1: y, y2: y }),
      svg("text", { x: left - 6, y: y + 4, "text-anchor": "end" }, label),
    ]);
    const times = [[left, "start", "−2 min"], [(left + right) / 2, "middle", "−1 min"], [right, "end", "now"]];
    return [...levels, ...times.map(([x, anchor, label]) => svg("text", { x, y: bottom + 16, "text-anchor": anchor }, label))];
  }

  cursor(view, sample) {
    if (view.looked === null || sample === undefined) return [];
    const x = this.x(view, sample);
    return [svg("line", { class: "cursor", x1: x, x2: x, y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom })];
  }

  /** Writes caption and legend, and the same for those who cannot see the plot. */
  tell(series, told, caption) {
    setText(this.caption, caption);
    if (this.legend.children.length !== told.length) {
      this.legend.replaceChildren(...told.map(() => element("li", {}, element("span"), " ", element("b"))));
    }
    [...this.legend.children].forEach((item, index) => {
      const [name, text] = told[index];
      item.className = series[index].colour;
      setText(item.firstChild, name);
      setText(item.lastChild, text);
    });
    const values = told.length === 0 ? "none" : told.map((pair) => pair.join(" ")).join(", ");
    this.svg.setAttribute("aria-label", `${caption}: ${values}. The arrow keys go through the seconds.`);
  }
}

/** The sample at the moment that is looked at, or the newest one. */
function sampleAt({ now, samples, looked }) {
  if (looked === null) return samples.at(-1);
  const distance = (sample) => Math.abs(now - looked - sample.at);
  return samples.reduce((nearest, sample) => (nearest && distance(nearest) <= distance(sample) ? nearest : sample), undefined);
}

/** The points in runs between which there are gaps: where no poll brought a sample, or a sample had no value. */
function runs(samples, points) {
  const found = [];
  samples.forEach(({ at, elapsed }, index) => {
    const follows = index > 0 && at - elapsed - samples[index - 1].at < 0.001;
    if (follows) found.at(-1).push(points[index]);
    else found.push([points[index]]);
  });
  return found;
}

const pair = (x, y) => `${x.toFixed(1)},${y.toFixed(1)}`;

/** A line without length is a dot, as its ends are round: so a lonely point is seen. */
const polyline = (points) => `M${[...points, points.at(-1)].map(([x, y]) => pair(x, y)).join("L")}`;

function outline(points) {
  const back = [...points].reverse();
  return `M${[...points.map(([x, y]) => pair(x, y)), ...back.map(([x, , from]) => pair(x, from))].join("L")}Z`;
}

/** The least of 1, 2, 5, 10, 20 … that is not below the value. */
function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value);
}

const SPARK = { width: 96, height: 22 };

/** A plot without axes, for a row of the list. */
export const spark = () =>
  svg("svg", { class: "spark", width: SPARK.width, height: SPARK.height, "aria-hidden": "true" }, svg("path", { class: "line" }));

/** Draws the requests in a second into what `spark` made. */
export function drawSpark(made, now, samples) {
  const top = Math.max(1, ...samples.map(rateOf));
  const points = samples.map((sample) => [
    SPARK.width * (1 - (now - sample.at) / WINDOW_SECONDS),
    SPARK.height - 2 - ((SPARK.height - 4) * rateOf(sample)) / top,
  ]);
  made.firstChild.setAttribute("d", runs(samples, points).map(polyline).join(""));
}
