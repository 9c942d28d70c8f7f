import { createTask, validateDetailed } from 'node-cron';
import { nearest } from './did-you-mean.ts';

/**
 * The next times a schedule fires, from now, by node-cron's own reckoning (the same that starts the work).
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
