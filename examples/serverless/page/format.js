// Numbers and times as people read them.

const whole = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });

export const count = (value) => whole.format(value);

/** A number of requests in a second. */
export const rate = (value) => `${short.format(value)}/s`;

/** A duration, given in seconds. */
export function seconds(value) {
  if (value < 0.001) return `${short.format(value * 1e6)} µs`;
  if (value < 1) return `${short.format(value * 1e3)} ms`;
  return `${short.format(value)} s`;
}

/** A latency that a histogram knows: `Infinity` is anything beyond the last of its bounds, `null` is no request. */
export function latency(value, bounds) {
  if (value === null) return "–";
  return Number.isFinite(value) ? seconds(value) : `over ${seconds(bounds.at(-1))}`;
}

export function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB"];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${short.format(value)} ${units[unit]}`;
}

/** A point in time, given in seconds since 1970. */
export const time = (unixSeconds) => new Date(unixSeconds * 1000).toLocaleString();

/** A kind of failure, such as `wall_time`. */
export const kind = (name) => name.replaceAll("_", " ");
