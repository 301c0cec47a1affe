// How a failed request is shown: the problem's words as text, and the way to its report.

import { describe, element } from "./dom.js";
import * as format from "./format.js";
import { Problem } from "./api.js";

/** What has failed, and why: `error` is a `Problem`, or what fetch says when nobody answers. */
export function failed(what, error) {
  if (!(error instanceof Problem)) return element("p", { class: "bad" }, `${what}: the server is away, or ended the connection.`);
  const shown = element("div", { class: "bad" }, element("p", {}, `${what} (${error.status}): ${error.message}`));
  const facts = [];
  if (error.kind) facts.push(["Kind", format.kind(String(error.kind))]);
  if (error.request) facts.push(["Request", String(error.request)]);
  const list = element("dl");
  describe(list, facts);
  shown.append(list);
  if (error.report) {
    const href = `#report/${encodeURIComponent(error.report)}`;
    shown.append(element("p", {}, element("a", { href }, "Open the report")));
  }
  return shown;
}
