/** When to look again. Pure: the caller gives the random number, in [0, 1). All times in ms. */

export interface Bounds {
  readonly minMs: number;
  readonly maxMs: number;
}

/** No setting makes a failure be tried again at once, for ever. */
const leastMs = 50;

const clamp = (value: number, { minMs, maxMs }: Bounds) => Math.min(maxMs, Math.max(minMs, value));
/** ±20 %, so that many runs do not ask in step. */
const jitter = (value: number, random: number) => value * (0.8 + 0.4 * random);

/**
 * Exponential backoff with full jitter between half and the whole of the delay.
 *
 * @param failures consecutive failures so far, 1 or more
 */
export function backoff(failures: number, bounds: Bounds, random: number): number {
  const delay = clamp(Math.max(bounds.minMs, leastMs) * 2 ** Math.min(failures - 1, 30), bounds);
  return Math.max(delay, leastMs) * (0.5 + 0.5 * random);
}

/**
 * How long to wait before asking for an export's progress again: about a quarter of the time that seems to remain,
 * or a tenth of the time already spent when progress says nothing.
 *
 * @param progress 0 to 100, if known
 */
export function pollDelay(
  elapsedMs: number,
  progress: number | undefined,
  bounds: Bounds,
  random: number,
): number {
  const informative = progress !== undefined && progress > 0 && progress < 100;
  const guess = informative ? ((elapsedMs / progress) * (100 - progress)) / 4 : elapsedMs / 10;
  return clamp(jitter(clamp(guess, bounds), random), bounds);
}
