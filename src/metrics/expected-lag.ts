import type { DefinitionConfig } from '../config/config.ts';
import { nextRuns } from '../config/cron.ts';

/** Enough to see the weekend in a schedule of working days, each quarter of an hour. */
const ticksLookedAt = 700;

/**
 * How far the end of the last done window may lie behind now while a definition keeps up, in ms: a window's length, the
 * time it is left alone, and the longest time between two ticks of the schedule. Undefined without a schedule.
 */
export function expectedLagMs({ schedule, windows }: DefinitionConfig): number | undefined {
  if (!schedule) return undefined;
  const ticks = nextRuns(schedule.cron, schedule.timeZone, ticksLookedAt).map((tick) => tick.getTime());
  const gaps = ticks.map((tick, at) => tick - (ticks[at - 1] ?? tick));
  return windows.lengthMs + windows.lagMs + Math.max(0, ...gaps);
}
