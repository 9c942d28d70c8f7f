import type { DefinitionConfig } from '../config/config.ts';
import { showWindow, utc } from '../format.ts';
import type { Adoption } from '../store/adoptions.ts';
import type { DefinitionStatus } from '../store/status.ts';

/** What is known of a definition when it is asked whether it is overdue. */
export interface Signs {
  readonly status: DefinitionStatus | undefined;
  /** Its schedule as Postgres has it: the time between two ticks is how often it comes round. */
  readonly ticks: { readonly lastTickAt: Date; readonly nextTickAt: Date } | undefined;
  readonly adoption: Adoption | undefined;
  /** Since when somebody watches: before, nothing can have been missed. */
  readonly watchedSince: Date;
}

/**
 * Why a definition is overdue: it has had no success for longer than a window, its lag, the time between two ticks and
 * `graceMs` together. Undefined if it is not, or if nothing is due without being asked for.
 */
export function gapOf(
  definition: DefinitionConfig,
  { status, ticks, adoption, watchedSince }: Signs,
  graceMs: number,
  now: Date,
): string | undefined {
  const before = (instant: Date | null | undefined, ms: number) =>
    !instant || instant.getTime() < now.getTime() - ms;
  if (definition.adopt) {
    const allowed = definition.adopt.everyMs + graceMs;
    if (!before(adoption?.lastLookAt, allowed) || !before(watchedSince, allowed)) return undefined;
    return `its entries upstream were last looked at ${utc(adoption?.lastLookAt)}`;
  }
  if (!definition.schedule) return undefined;
  const { lengthMs, lagMs } = definition.windows;
  const betweenTicks = ticks ? Math.max(0, ticks.nextTickAt.getTime() - ticks.lastTickAt.getTime()) : 0;
  const allowed = lengthMs + lagMs + betweenTicks + graceMs;
  // One that catches up with a long past succeeds all the time.
  if (![status?.doneUntil, status?.lastDoneAt, watchedSince].every((instant) => before(instant, allowed)))
    return undefined;
  const doneUntil = status?.doneUntil;
  if (!doneUntil) return 'no window of it was ever done';
  const next = showWindow(doneUntil, new Date(doneUntil.getTime() + lengthMs));
  return `no window is done after ${utc(doneUntil)}; ${next} is overdue`;
}
