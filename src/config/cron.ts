import { createTask, validateDetailed } from 'node-cron';
import { nearest } from './did-you-mean.ts';

/**
 * The next times a schedule fires, from now on this machine's clock, by node-cron's own reckoning (the same that starts the work).
 *
 * @param timeZone IANA name
 * @throws Error if the expression or the zone is wrong, or it does not fire within 100 years
 */
export function nextRuns(cron: string, timeZone: string, count: number): Date[] {
  const task = createTask(cron, () => undefined, { timezone: timeZone });
  try {
    return task.getNextRuns(count);
  } finally {
    // A task left alone stays in node-cron's registry for good.
    void task.destroy();
  }
}

/** More steps than anybody's clock is wrong by, and as many as cost no time. */
const mostSteps = 4096;

/**
 * The first time a schedule fires after an instant, whatever this machine's own clock says.
 *
 * @param timeZone IANA name
 * @returns with a clock that is wrong by more than 4096 minutes (seconds, for expressions with seconds) perhaps only the
 *   next minute or second
 */
export function nextRunAfter(cron: string, timeZone: string, instant: Date): Date {
  const task = createTask(cron, () => undefined, { timezone: timeZone });
  const stepMs = cron.trim().split(/\s+/).length > 5 ? 1000 : 60_000;
  const first = (Math.floor(instant.getTime() / stepMs) + 1) * stepMs;
  try {
    // node-cron reckons from this machine's clock. One that is ahead would leave out what lies between.
    const ahead = Math.min(Math.ceil((Date.now() - first) / stepMs), mostSteps);
    for (let step = 0; step <= ahead; step += 1) {
      const at = new Date(first + step * stepMs);
      if (task.match(at)) return at;
    }
    for (let count = 1; count <= mostSteps; count *= 8) {
      const next = task.getNextRuns(count).find((run) => run > instant);
      if (next) return next;
    }
    return new Date(first);
  } finally {
    void task.destroy();
  }
}

/** What is wrong with a cron expression, or undefined. Five fields, or six with seconds first. */
export function cronProblem(cron: string): string | undefined {
  const { valid, errors } = validateDetailed(cron);
  if (!valid) {
    const what = errors.map(({ field, message }) =>
      field === 'expression' ? message : `${field}: ${message}`,
    );
    return `must be a cron expression of 5 fields, or 6 with seconds first, such as "5 * * * *" (${what.join('; ')})`;
  }
  try {
    nextRuns(cron, 'UTC', 1);
    return undefined;
  } catch {
    return 'never fires: no date of the next 100 years matches it';
  }
}

/** What is wrong with a time zone, or undefined. */
export function timeZoneProblem(timeZone: string): string | undefined {
  try {
    new Intl.DateTimeFormat('en-US', { timeZone });
    return undefined;
  } catch {
    const near = nearest(timeZone, Intl.supportedValuesOf('timeZone'));
    return `must be an IANA time zone, such as ${near ?? 'UTC or Europe/Berlin'}`;
  }
}
