// What happened in the last two minutes: the differences between one poll and the next.
//
// The server only counts upwards, since its start. So the difference of two polls is what happened between them, for requests and for each
// bucket of the latency histogram, and the sum of differences is what happened in a longer time.

/** How far back the plots go. */
export const WINDOW_SECONDS = 120;

/** Two polls that are closer than this would make a rate out of noise: the second is left out. */
const SHORTEST_SECONDS = 0.5;

/** Over a longer time than this an average would hide what happened: there is a gap instead. */
const LONGEST_SECONDS = 10;

const zero = { ok: 0, failed: {}, counts: [] };

export class History {
  constructor() {
    this.bounds = [];
    this.last = null;
    this.everywhere = [];
    this.byName = new Map();
  }

  /** Takes the descriptions that a poll at `at`, in seconds, has brought. */
  add(at, descriptions) {
    const elapsed = this.last === null ? Infinity : at - this.last.at;
    if (elapsed < SHORTEST_SECONDS) return;
    const before = this.last?.counters;
    const counters = new Map(descriptions.map((description) => [description.name, countersOf(description)]));
    this.bounds = descriptions[0]?.latency.le ?? this.bounds;
    this.last = { at, counters };
    this.forget(at, counters);
    if (elapsed > LONGEST_SECONDS) return;

    const sum = { at, elapsed, ok: 0, failed: {}, counts: [] };
    for (const [name, now] of counters) {
      const sample = { at, elapsed, ...difference(now, before.get(name) ?? zero) };
      if (!this.byName.has(name)) this.byName.set(name, []);
      this.byName.get(name).push(sample);
      addTo(sum, sample);
    }
    this.everywhere.push(sum);
  }

  /** The samples of a function, or of all together, oldest first. */
  samples(name) {
    return name === "" ? this.everywhere : (this.byName.get(name) ?? []);
  }

  forget(now, names) {
    for (const name of this.byName.keys()) if (!names.has(name)) this.byName.delete(name);
    for (const samples of [this.everywhere, ...this.byName.values()]) {
      while (samples.length > 0 && samples[0].at < now - WINDOW_SECONDS) samples.shift();
    }
  }
}

function countersOf({ totals, latency }) {
  return { ok: totals.ok, failed: totals.failed, counts: latency.counts };
}

/** What was counted since `before`. A counter that went back began again from zero: the server was restarted, or the function deployed anew. */
function difference(now, before) {
  const since = (base) => ({
    ok: now.ok - base.ok,
    failed: Object.fromEntries(Object.entries(now.failed).map(([kind, count]) => [kind, count - (base.failed[kind] ?? 0)])),
    counts: now.counts.map((count, index) => count - (base.counts[index] ?? 0)),
  });
  const differs = since(before);
  const numbers = [differs.ok, ...Object.values(differs.failed), ...differs.counts];
  return numbers.some((number) => number < 0) ? since(zero) : differs;
}

function addTo(sum, { ok, failed, counts }) {
  sum.ok += ok;
  for (const [kind, count] of Object.entries(failed)) sum.failed[kind] = (sum.failed[kind] ?? 0) + count;
  counts.forEach((count, index) => (sum.counts[index] = (sum.counts[index] ?? 0) + count));
}

/** All samples as one. */
export function total(samples) {
  const sum = { ok: 0, failed: {}, counts: [] };
  for (const sample of samples) addTo(sum, sample);
  return sum;
}

export const failures = (sample) => Object.values(sample.failed).reduce((sum, count) => sum + count, 0);

/** Requests in a second. */
export const rateOf = (sample) => (sample.ok + failures(sample)) / sample.elapsed;

/**
 * The latency that a part `q` of the requests stayed below, by going straight through the bucket that it is in: `null` if there were none, and
 * `Infinity` if it is beyond the last bound. `counts` is cumulative and has one entry more than `bounds`.
 */
export function quantile(bounds, counts, q) {
  const all = counts.at(-1) ?? 0;
  if (all === 0) return null;
  const rank = q * all;
  const bucket = counts.findIndex((count) => count >= rank);
  if (bucket >= bounds.length) return Infinity;
  const [from, below] = bucket === 0 ? [0, 0] : [bounds[bucket - 1], counts[bucket - 1]];
  return from + ((bounds[bucket] - from) * (rank - below)) / (counts[bucket] - below);
}
