import { UsageError } from '../errors.ts';
import { missingWindows, planWindow } from '../jobs/plan.ts';
import { reviveRun } from '../jobs/revive.ts';
import { cut, floorToGrid, horizon } from '../jobs/windows.ts';
import type { Window } from '../jobs/windows.ts';
import { databaseNow } from '../store/database.ts';
import { finalStates, runsTouching } from '../store/runs.ts';
import type { Run } from '../store/runs.ts';
import { definitionNamed, durationOf, instantOf, wholeNumberOf } from './arguments.ts';
import { exitCodes } from './exit-codes.ts';
import { counted, humanDuration, print, printJson, showWindow, table, utc } from './output.ts';
import { showBars } from './progress.ts';
import { reportWork } from './report.ts';
import { openConfig } from './open-config.ts';
import { openPage, pageByFlag } from './page.ts';
import type { PageFlag } from './page.ts';
import type { GlobalOptions } from './open-config.ts';
import { inSession } from './session.ts';
import { onInterrupt } from './signals.ts';
import { preflight, workUntilDone } from './work.ts';

export interface BackfillOptions extends GlobalOptions, PageFlag {
  readonly from: string;
  readonly to: string;
  readonly dryRun?: boolean;
  readonly concurrency: string;
  readonly timeout?: string;
}

/** What a range of history consists of, before anything is done about it. */
interface BackfillPlan {
  readonly missing: Window[];
  /** Known, but failed or cancelled: they are tried again. */
  readonly revive: Run[];
  readonly underWay: Run[];
  readonly done: Run[];
}

/** `udm-sync backfill`: exports a range of history, skipping what is done. Running it again continues. */
export async function backfillCommand(name: string, options: BackfillOptions): Promise<number> {
  const range = { from: instantOf('--from', options.from), to: instantOf('--to', options.to) };
  if (range.from >= range.to)
    throw new UsageError(`--from (${utc(range.from)}) must be before --to (${utc(range.to)}).`);
  const concurrency = wholeNumberOf('--concurrency', options.concurrency, 1, 1000);
  const timeoutMs = options.timeout === undefined ? undefined : durationOf('--timeout', options.timeout);
  const bars = process.stdout.isTTY && !options.json;
  const { config, logger } = await openConfig(options, {
    to: options.json ? 2 : 1,
    ...(bars || options.dryRun ? { level: 'error' } : {}),
  });
  const definition = definitionNamed(config, name);
  if (definition.adopt)
    throw new UsageError(`${name} adopts what people's jobs made; it has no windows to back-fill.`, {
      hint: `Older entries are adopted when definitions.${name}.adopt.since says so.`,
    });
  const { lengthMs, lagMs } = definition.windows;
  for (const [flag, at] of [
    ['--from', range.from],
    ['--to', range.to],
  ] as const) {
    const below = floorToGrid(at, lengthMs);
    if (below.getTime() !== at.getTime())
      throw new UsageError(
        `${flag} is ${utc(at)}, but windows of ${name} (${humanDuration(lengthMs)}, UTC) begin at ${utc(below)} and ${utc(new Date(below.getTime() + lengthMs))}.`,
      );
  }
  const settings = pageByFlag(config, options);
  const interrupt = onInterrupt();
  const needs = { working: !options.dryRun, draining: interrupt.signal };
  return inSession(config, logger, needs, async (session) => {
    const { pipeline } = session;
    const end = horizon(await databaseNow(pipeline.db), lengthMs, lagMs);
    if (range.to > end)
      throw new UsageError(
        `--to is ${utc(range.to)}, but windows of ${name} are complete only up to ${utc(end)} (windows.length and windows.lag).`,
      );
    const known = await runsTouching(pipeline.db, name, range.from, range.to);
    const plan: BackfillPlan = {
      missing: await missingWindows(pipeline.db, definition, range),
      revive: known.filter((run) => run.state === 'failed' || run.state === 'cancelled'),
      underWay: known.filter((run) => !finalStates.includes(run.state)),
      done: known.filter((run) => run.state === 'done'),
    };
    showPlan(plan, range, lengthMs, options);
    if (options.dryRun) return exitCodes.done;

    const { able } = await preflight(pipeline, [definition], interrupt);
    if (interrupt.signal.aborted) return exitCodes.interrupted;
    if (able.length === 0) return exitCodes.failed;
    const page = await openPage(session, settings);
    const view = bars ? showBars(pipeline.events) : undefined;
    const queue: (Window | Run)[] = [...plan.revive, ...plan.missing];
    const begun = performance.now();
    let reported = 0;
    let first = true;
    const { runs, exitCode } = await workUntilDone(pipeline, {
      timeoutMs,
      interrupt,
      feed: async (unfinished) => {
        const ids = first ? plan.underWay.map((run) => run.id) : [];
        first = false;
        let busy = unfinished.length + ids.length;
        while (busy < concurrency) {
          const next = queue.shift();
          if (!next) break;
          if ('id' in next) {
            await reviveRun(pipeline, next.id);
            ids.push(next.id);
          } else ids.push(...(await planWindow(pipeline, definition, next)).map((run) => run.id));
          busy += 1;
        }
        return { ids, more: queue.length > 0 };
      },
      onProgress: (current) => {
        const finished = current.filter((run) => finalStates.includes(run.state)).length;
        if (finished === reported) return;
        reported = finished;
        const left = queue.length + current.length - finished;
        const eta = ((performance.now() - begun) / finished) * left;
        logger.info(
          { definition: name, finished, left, etaSeconds: Math.round(eta / 1000) },
          `backfill: ${finished} of ${counted(finished + left, 'window')}, about ${humanDuration(eta)} left`,
        );
      },
    }).finally(async () => {
      view?.stop();
      await page.close();
    });
    reportWork(runs, options.json === true, exitCode);
    return exitCode;
  }).finally(() => interrupt.dispose());
}

function showPlan(plan: BackfillPlan, range: Window, lengthMs: number, options: BackfillOptions): void {
  const { missing, revive, underWay, done } = plan;
  if (options.json) {
    if (options.dryRun)
      printJson({
        missing: missing.map(({ from, to }) => ({ from: from.toISOString(), to: to.toISOString() })),
        retry: revive.map((run) => run.id),
        underWay: underWay.map((run) => run.id),
        done: done.map((run) => run.id),
      });
    return;
  }
  print(
    `${counted(cut(range, lengthMs).length, 'window')} from ${utc(range.from)} to ${utc(range.to)}: ${missing.length} to export, ` +
      `${revive.length} to try again, ${underWay.length} under way, ${done.length} done already.`,
  );
  if (!options.dryRun) return;
  const rows = [
    ...missing.map((window) => ['export', showWindow(window.from, window.to)]),
    ...revive.map((run) => [`retry run ${run.id}`, showWindow(run.windowFrom, run.windowTo)]),
  ];
  if (rows.length > 0) print(`\n${table(['WOULD', 'WINDOW (UTC)'], rows)}`);
}
