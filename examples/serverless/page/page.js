// The page of the function server. It asks for GET /functions once a second and shows what is in it, and what changed since the last time.
//
//   page.js      this file: the poll, and who is told of it        list.js      the list of functions
//   api.js       requests and their problems, the API token        deploy.js    upload and delete
//   history.js   what happened between polls                       try.js       a request, and its answer
//   plots.js     requests, latency, failures as SVG                report.js    the report of a crash
//   settings.js  the settings of a function                        result.js    how a failure is shown
//   dom.js       elements, with all foreign words as text          format.js    numbers and times
//
// No other site is asked for anything, there is no build step, and nothing is inserted as HTML.

import * as api from "./api.js";
import { Deploy, remove } from "./deploy.js";
import { byId, offer, setText } from "./dom.js";
import { History } from "./history.js";
import { List } from "./list.js";
import { Plots } from "./plots.js";
import * as report from "./report.js";
import { Try } from "./try.js";

const POLL_MS = 1000;

/** A server that does not answer is asked less and less often, down to this. */
const AWAY_MS = 5000;

/** A server that wants another token is left alone for as long, as each refusal is one more line in its log. */
const REFUSED_MS = 60_000;

const history = new History();
const plots = new Plots(byId("plot-rate"), byId("plot-latency"), byId("plot-failures"));
const plotted = byId("plotted");
const attempt = new Try();
const deploy = new Deploy(hurry);
const list = new List([
  { text: "Try it", act: (description) => attempt.prepare(description) },
  { text: "Plot it", act: ({ name }) => plot(name) },
  { text: "New version", act: (description) => deploy.prepare(description) },
  { text: "Delete", act: (description) => remove(description, hurry), danger: true },
]);

const seconds = () => performance.now() / 1000;

function show(descriptions) {
  descriptions.sort((one, other) => (one.name < other.name ? -1 : 1));
  const names = descriptions.map(({ name }) => name);
  const now = seconds();
  history.add(now, descriptions);
  offer(plotted, names, ["", "all functions"]);
  attempt.know(names);
  deploy.know(descriptions);
  list.show(now, descriptions, history);
  showPlots();
}

function showPlots() {
  plots.show(history.last?.at ?? seconds(), history.samples(plotted.value), history.bounds);
}

function plot(name) {
  plotted.value = name;
  showPlots();
  byId("live-heading").scrollIntoView();
  plotted.focus();
}

// The poll

let away = null;
let delay = POLL_MS;
let hurried = false;
let wake = () => {};

/** Polls at once. */
function hurry() {
  hurried = true;
  wake();
}

async function pause() {
  if (!hurried) {
    await new Promise((resolve) => {
      wake = resolve;
      setTimeout(resolve, delay);
    });
  }
  hurried = false;
}

async function poll() {
  let descriptions;
  try {
    descriptions = await api.functions();
  } catch (error) {
    disconnected(error);
    return;
  }
  connected();
  try {
    show(descriptions);
  } catch (error) {
    // One answer that is not understood does not end the polling, and is not hidden either.
    reportError(error);
    connection("away", "the server's list of functions is not understood: the browser's console says why");
  }
}

function connected() {
  away = null;
  delay = POLL_MS;
  byId("token").hidden = true;
  connection("live", "live");
}

function disconnected(error) {
  if (error instanceof api.Problem && error.status === 401) {
    delay = REFUSED_MS;
    connection("refused", "waits for the API token");
    return;
  }
  delay = away === null ? POLL_MS : Math.min(delay * 2, AWAY_MS);
  away ??= new Date().toLocaleTimeString();
  const says = error instanceof api.Problem ? `answers ${error.status}: ${error.message}` : "does not answer";
  connection("away", `the server ${says} since ${away}: trying again`);
}

function connection(state, text) {
  document.body.dataset.connection = state;
  setText(byId("connection"), text);
}

// The token

function wantToken() {
  const form = byId("token");
  setText(byId("token-says"), api.hasToken() ? "The server refused this API token." : "This server wants its API token.");
  if (!form.hidden) return;
  form.hidden = false;
  byId("token-value").focus();
}

api.events.addEventListener("unauthorized", wantToken);
byId("token").addEventListener("submit", (event) => {
  event.preventDefault();
  api.useToken(byId("token-value").value);
  byId("token").reset();
  report.show();
  hurry();
});

plotted.addEventListener("change", showPlots);
window.addEventListener("resize", showPlots);
document.addEventListener("visibilitychange", () => document.hidden || hurry());
report.start();

for (;;) {
  await poll();
  await pause();
}
