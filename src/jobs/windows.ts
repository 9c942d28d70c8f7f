/** A half-open stretch of time in UTC: `from` belongs to it, `to` does not. */
export interface Window {
  readonly from: Date;
  readonly to: Date;
}

const dayMs = 86_400_000;
/** 1970-01-05 was a Monday: windows of whole weeks begin on Mondays. */
const mondayMs = 4 * dayMs;

function gridOrigin(lengthMs: number): number {
  return lengthMs % (7 * dayMs) === 0 ? mondayMs : 0;
}

/** The last instant of the window grid at or before `instant`. */
export function floorToGrid(instant: Date, lengthMs: number): Date {
  const origin = gridOrigin(lengthMs);
  return new Date(Math.floor((instant.getTime() - origin) / lengthMs) * lengthMs + origin);
}

/** What of `range` no window in `covered` covers, in order. `covered` may be unsorted and may overlap. */
export function subtract(range: Window, covered: readonly Window[]): Window[] {
  const gaps: Window[] = [];
  let at = range.from.getTime();
  const end = range.to.getTime();
  for (const { from, to } of [...covered].sort((a, b) => a.from.getTime() - b.from.getTime())) {
    if (from.getTime() > at && at < end)
      gaps.push({ from: new Date(at), to: new Date(Math.min(from.getTime(), end)) });
    at = Math.max(at, to.getTime());
  }
  if (at < end) gaps.push({ from: new Date(at), to: new Date(end) });
  return gaps;
}

/** Cuts `range` at every instant of the window grid; the first and last piece may be shorter than a window. */
export function cut(range: Window, lengthMs: number): Window[] {
  const pieces: Window[] = [];
  let from = range.from;
  while (from < range.to) {
    const next = new Date(floorToGrid(from, lengthMs).getTime() + lengthMs);
    const to = next < range.to ? next : range.to;
    pieces.push({ from, to });
    from = to;
  }
  return pieces;
}

export interface PlanInput {
  readonly now: Date;
  readonly lengthMs: number;
  /** How long after a window's end its data is taken to be complete. */
  readonly lagMs: number;
  /** Where history starts; without it, at the newest complete window when planning begins. */
  readonly start: Date | undefined;
  /** The stretch that schedule-planned runs cover without a gap, if there are any. */
  readonly scheduled: Window | undefined;
  /** What any run covers, at least outside of `scheduled`. */
  readonly covered: readonly Window[];
  /** At most this many windows. */
  readonly limit: number;
}

/** The end of the newest complete window: everything before it may be exported. */
export function horizon(now: Date, lengthMs: number, lagMs: number): Date {
  return floorToGrid(new Date(now.getTime() - lagMs), lengthMs);
}

/**
 * The windows a schedule owes now: complete, and covered by no run.
 *
 * The scheduled stretch grows at both ends without ever leaving a gap: newest windows upwards from its end, and,
 * when `start` was moved into the past, downwards from its beginning.
 */
export function dueWindows({ now, lengthMs, lagMs, start, scheduled, covered, limit }: PlanInput): Window[] {
  const end = horizon(now, lengthMs, lagMs);
  // Whole windows only: a part of one could share its folder in the sink with the rest.
  const begin = start && floorToGrid(start, lengthMs);
  const missing = (from: Date, to: Date) =>
    from < to ? subtract({ from, to }, covered).flatMap((gap) => cut(gap, lengthMs)) : [];
  if (!scheduled) return missing(begin ?? new Date(end.getTime() - lengthMs), end).slice(0, limit);
  const above = missing(scheduled.to, end).slice(0, limit);
  if (!begin) return above;
  const below = missing(begin, scheduled.from).reverse();
  return [...above, ...below.slice(0, limit - above.length)];
}
