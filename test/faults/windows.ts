import type { Expectation } from '../auditor/facts.ts';

/** The last `count` complete windows, and settings that keep them the same for half a window to come. */
export function lastWindows(
  definition: string,
  lengthMs: number,
  count: number,
  prefix: string,
): { windows: { length: string; lag: string; start: string; catchUp: number }; expectation: Expectation } {
  const now = Date.now();
  const sinceGrid = now % lengthMs;
  const to = now - sinceGrid - lengthMs;
  const from = to - count * lengthMs;
  return {
    windows: {
      length: `${lengthMs / 60_000}m`,
      lag: `${sinceGrid + lengthMs / 2}ms`,
      start: new Date(from).toISOString(),
      catchUp: count,
    },
    expectation: {
      tenant: 'demo',
      definition,
      prefix,
      from: new Date(from),
      to: new Date(to),
      lengthMs,
    },
  };
}
