// The settings of a function: what PUT /functions/{name} takes, and what a description has.

import { element } from "./dom.js";

const NUMBERS = [
  ["wall_ms", "Wall time", "ms"],
  ["cpu_ms", "CPU time", "ms"],
  ["memory_mib", "Memory", "MiB"],
  ["body_kib", "Longest body", "KiB"],
  ["reply_kib", "Longest reply", "KiB"],
  ["concurrency", "Requests at once", ""],
  ["queue", "Requests that wait", ""],
  ["wait_ms", "Longest wait", "ms"],
];

const FLAGS = [
  ["streaming", "Streams its reply"],
  ["cold", "Is started anew each time"],
];

/** The settings of a description as pairs of term and text. */
export function told(settings) {
  const numbers = NUMBERS.filter(([key]) => key in settings);
  const flags = FLAGS.filter(([key]) => key in settings);
  return [
    ...numbers.map(([key, label, unit]) => [label, `${settings[key]} ${unit}`.trim()]),
    ...flags.map(([key, label]) => [label, settings[key] ? "yes" : "no"]),
  ];
}

/** A form's fields for all settings. */
export class SettingsFields {
  constructor(container) {
    this.inputs = new Map();
    for (const [key, label, unit] of NUMBERS) {
      const input = element("input", { type: "number", min: "0", step: "1", inputmode: "numeric", placeholder: "default" });
      this.add(container, key, unit ? `${label}, ${unit}` : label, input);
    }
    const choices = [["", "default"], ["false", "no"], ["true", "yes"]];
    for (const [key, label] of FLAGS) {
      const options = choices.map(([value, text]) => element("option", { value }, text));
      this.add(container, key, label, element("select", {}, ...options));
    }
  }

  add(container, key, label, input) {
    input.id = `setting-${key}`;
    container.append(element("div", {}, element("label", { for: input.id }, label), input));
    this.inputs.set(key, input);
  }

  /** Fills the fields with a function's settings, or empties them. */
  fill(settings = {}) {
    for (const [key, input] of this.inputs) input.value = key in settings ? String(settings[key]) : "";
  }

  /** The fields that are filled in, as a query. */
  query() {
    const filled = [...this.inputs].filter(([, input]) => input.value !== "");
    return new URLSearchParams(filled.map(([key, input]) => [key, input.value])).toString();
  }
}
