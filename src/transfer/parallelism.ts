/** How many parts of a file are in flight, and what is known of how well that works. */
export interface Parallelism {
  /** Parts in flight now. */
  readonly limit: number;
  /** The number that has been found to be worth it; `limit` is more while one more is being tried. */
  readonly proven: number;
  /** Bytes per second at `proven`. */
  readonly rate: number;
  /** Rounds to wait before more is tried again. */
  readonly rest: number;
}

/** More parts are worth it if they bring this share of what they would bring if each brought its own bytes. */
const worthIt = 0.5;
/** At half of the proven rate somebody is overloaded. */
const collapse = 0.5;
const roundsOfRest = 8;

/** Enough that reading and sending overlap; more only if it helps. */
const start = 4;

/** @param most parts in flight at the most */
export function firstParallelism(most: number): Parallelism {
  const limit = Math.min(start, most);
  return { limit, proven: limit, rate: 0, rest: 0 };
}

/**
 * What to do after a round of `limit` parts at `rate` bytes per second: one part more while that brings more bytes,
 * back when it does not, and half when the rate breaks down. A source that serves each connection slowly is read by
 * many; a link that is full already is not crowded.
 */
export function nextParallelism(now: Parallelism, rate: number, most: number): Parallelism {
  const { limit, proven, rest } = now;
  if (limit > proven) {
    if (rate > now.rate * (1 + (worthIt * (limit - proven)) / proven))
      return { limit: Math.min(limit + 1, most), proven: limit, rate, rest: 0 };
    return { limit: proven, proven, rate: now.rate, rest: roundsOfRest };
  }
  if (rate < now.rate * collapse && limit > 1) {
    const half = Math.floor(limit / 2);
    return { limit: half, proven: half, rate, rest: roundsOfRest };
  }
  if (rest > 0) return { limit, proven, rate, rest: rest - 1 };
  return { limit: Math.min(limit + 1, most), proven, rate, rest: 0 };
}
