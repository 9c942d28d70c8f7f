const day = 86_400_000;

/** Half-open, UTC. */
export interface Window {
  readonly from: Date;
  readonly to: Date;
}

/** A Monday, so that windows of whole weeks are sampled where they begin. */
const first = Date.parse('2025-12-29T00:00:00Z');

// Half a day finds 12-hour clocks; a day, a week, a month and years find formats that come round again.
const distances = [day / 2, day, 7 * day, 31 * day, 365 * day, 366 * day, 3653 * day];

/**
 * Windows that a format must tell apart: a long run of consecutive ones, some far off, and the one at `start`,
 * which may begin between two others.
 */
export function sampleWindows(lengthMs: number, start?: Date): Window[] {
  const far = distances.map((distance) => Math.round(distance / lengthMs));
  const steps = [...Array.from({ length: 400 }, (_, index) => index), ...far];
  const begins = new Set(steps.map((step) => first + step * lengthMs));
  if (start) begins.add(start.getTime());
  return [...begins].map((from) => ({ from: new Date(from), to: new Date(from + lengthMs) }));
}
