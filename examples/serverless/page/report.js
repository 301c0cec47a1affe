// The report of a crash, in the page: `#report/{id}` in its address opens one, so that a link to it can be passed on.

import * as api from "./api.js";
import { byId, describe, element } from "./dom.js";
import * as format from "./format.js";
import { failed } from "./result.js";

const PREFIX = "#report/";

/** Follows the address. */
export function start() {
  window.addEventListener("hashchange", show);
  byId("report-close").addEventListener("click", (event) => {
    event.preventDefault();
    history.replaceState(null, "", location.pathname);
    show();
  });
  show();
}

/** The report that the address names, if it does and can be read. */
function wanted() {
  if (!location.hash.startsWith(PREFIX)) return null;
  try {
    return decodeURIComponent(location.hash.slice(PREFIX.length));
  } catch {
    return null;
  }
}

/** Shows the report that the address names, or none. */
export async function show() {
  const id = wanted();
  const body = byId("report-body");
  byId("report").hidden = id === null;
  body.replaceChildren();
  if (id === null) return;
  byId("report").scrollIntoView();
  byId("report-heading").focus();
  const shown = await api.report(id).then(contents, (error) => failed(`There is no report ${id}`, error));
  // Another one may have been opened since.
  if (wanted() === id) body.replaceChildren(shown);
}

function contents({ id, function: name, version, time, count, end, report }) {
  const facts = element("dl");
  const seen = `${format.time(time)}, ${format.count(count)} in all`;
  describe(facts, [["Report", id], ["Function", `${name}, version ${version}`], ["First seen", seen], ["End", end]]);
  return element("div", {}, facts, element("pre", { tabindex: "0", "aria-label": "Report" }, report));
}
