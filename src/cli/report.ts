import type { Run } from '../store/runs.ts';
import { counted, print, printJson, showWindow, table, utc } from './output.ts';

/** A run as `--json` shows it: a stable contract (docs/cli.md). Times are ISO 8601 in UTC. */
export function runJson(run: Run): Record<string, unknown> {
  return {
    run: run.id,
    definition: run.definition,
    tenant: run.tenant,
    sink: run.sink,
    window: { from: run.windowFrom.toISOString(), to: run.windowTo.toISOString() },
    origin: run.origin,
    entry: run.adoptedEntry,
    state: run.state,
    attempt: run.attempt,
    reason: run.reason,
    manifestKey: run.manifestKey,
    nextStepAt: run.nextStepAt?.toISOString() ?? null,
    createdAt: run.createdAt.toISOString(),
    updatedAt: run.updatedAt.toISOString(),
    finishedAt: run.finishedAt?.toISOString() ?? null,
    prunedAt: run.prunedAt?.toISOString() ?? null,
  };
}

/** The window of a run; of one that adopts an entry, when that was made: its time frame is people's. */
export function showPlace(run: Run): string {
  return run.origin === 'adopt'
    ? `entry of ${utc(run.windowFrom)}`
    : showWindow(run.windowFrom, run.windowTo);
}

export function printRuns(runs: readonly Run[]): void {
  print(
    table(
      ['RUN', 'DEFINITION', 'WINDOW (UTC)', 'STATE', 'ATTEMPT', 'UPDATED', 'REASON'],
      runs.map((run) => [
        String(run.id),
        run.definition,
        showPlace(run),
        run.state,
        String(run.attempt),
        utc(run.updatedAt),
        run.reason ?? '',
      ]),
    ),
  );
}

/** What `run` and `backfill` say at the end. */
export function reportWork(runs: readonly Run[], json: boolean, exitCode: number): void {
  const count = (state: Run['state']) => runs.filter((run) => run.state === state).length;
  const done = count('done');
  const failed = count('failed');
  const cancelled = count('cancelled');
  const left = runs.length - done - failed - cancelled;
  if (json) {
    printJson({ exitCode, done, failed, cancelled, left, runs: runs.map(runJson) });
    return;
  }
  print(
    `${counted(runs.length, 'window')}: ${done} done, ${failed} failed, ${cancelled} cancelled, ${left} left.`,
  );
  const open = runs.filter((run) => run.state !== 'done');
  if (open.length === 0) return;
  print();
  printRuns(open.slice(0, 50));
  if (open.length > 50) print(`… and ${open.length - 50} more: udm-sync runs`);
  if (failed > 0) print('\nSee why with: udm-sync run-history <run>   Try again with: udm-sync retry <run>');
}
