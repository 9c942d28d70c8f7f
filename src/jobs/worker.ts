import cron from 'node-cron';
import type { ScheduledTask } from 'node-cron';
import type { DefinitionConfig } from '../config/config.ts';
import { reached } from '../crash-points.ts';
import { describeError } from '../errors.ts';
import { stuckRuns } from '../store/runs.ts';
import { raiseExpiring } from './expiry.ts';
import { planBySchedule } from './plan.ts';
import { adoptEntries, adopts } from './adopt.ts';
import type { AdoptingDefinition } from './adopt.ts';
import type { Pipeline } from './context.ts';
import { regularly } from '../regularly.ts';
import type { Repetition } from '../regularly.ts';
import { pruneDaily } from './prune-daily.ts';
import { errorCode } from './settle.ts';
import { tenantsAtWork } from './shares.ts';
import { runStep } from './steps.ts';
import { abortAbandoned, sweepAll } from './sweep.ts';
import { transferBatch } from './transfer.ts';

export interface WorkerOptions {
  /** Definitions to plan by their schedules; none for `backfill`. */
  readonly schedules: readonly DefinitionConfig[];
  /** Details of runs that ended longer ago than so many ms are pruned, daily. Absent: never. */
  readonly keepHistoryMs?: number | undefined;
  /** How often catch-up and rescue look, besides the cron ticks. Default 60 s. */
  readonly tickMs?: number;
  /** How often the sinks are swept for leaked uploads, the first time at the start. Default 1 h. */
  readonly sweepEveryMs?: number;
}

/** A running worker; see `startWorker`. */
export interface Worker {
  /** Stops planning and claiming, waits up to `graceMs` for work under way, hands back the rest. */
  stop(graceMs: number): Promise<void>;
}

/** Starts to work: claims steps and transfers, plans by cron and each minute, rescues runs without a next step. */
export async function startWorker(pipeline: Pipeline, options: WorkerOptions): Promise<Worker> {
  const { queue, config, logger } = pipeline;
  await queue.work(
    {
      step: (claim) => runStep(pipeline, claim),
      transfer: (claim) => transferBatch(pipeline, claim),
    },
    {
      steps: config.worker.exports,
      transfers: config.worker.transfers,
      tenants: tenantsAtWork(config).length,
    },
  );

  const plan = async (definition: DefinitionConfig) => {
    try {
      await planBySchedule(pipeline, definition);
    } catch (error) {
      const told = {
        work: 'plan',
        definition: definition.name,
        code: errorCode(error),
        final: false,
      } as const;
      pipeline.events.emit('event', { kind: 'failed', ...told });
      logger.error(
        { definition: definition.name, reason: describeError(error) },
        'planning failed; the next tick tries again',
      );
    }
  };
  const cronLog = {
    debug: (said: string | Error) => logger.debug({ said: String(said) }, 'node-cron'),
    info: (said: string) => logger.debug({ said }, 'node-cron'),
    warn: (said: string) => logger.warn({ said }, 'node-cron'),
    error: (said: string | Error) => logger.error({ said: String(said) }, 'node-cron'),
  };
  const tasks: ScheduledTask[] = [];
  for (const definition of options.schedules) {
    if (!definition.schedule) continue;
    const { cron: expression, timeZone: timezone } = definition.schedule;
    tasks.push(
      cron.schedule(expression, () => plan(definition), { timezone, name: definition.name, logger: cronLog }),
    );
  }

  // What asks nobody but Postgres is done in one go; what waits for an upstream or a sink, each for itself: none of
  // them may hold up the others.
  const tickMs = options.tickMs ?? 60_000;
  const { keepHistoryMs } = options;
  const stopping = new AbortController();
  const signal = AbortSignal.any([pipeline.draining, stopping.signal]);
  const repeated = [
    regularly(tickMs, async () => {
      try {
        await raiseExpiring(pipeline);
      } catch (error) {
        logger.error({ reason: describeError(error) }, 'looking for files that expire soon failed');
      }
      try {
        await rescue(pipeline);
      } catch (error) {
        logger.error({ reason: describeError(error) }, 'looking for runs without a next step failed');
      }
      for (const definition of options.schedules) await plan(definition);
    }),
    regularly(tickMs, () => abortAbandoned(pipeline)),
    regularly(options.sweepEveryMs ?? 3_600_000, () => sweepInTurn(pipeline, signal)),
    ...options.schedules
      .filter(adopts)
      .map((definition) => lookRegularly(pipeline, definition, tickMs, stopping.signal)),
    ...(keepHistoryMs === undefined
      ? []
      : [regularly(tickMs, pruneDaily(pipeline, keepHistoryMs, stopping.signal))]),
  ];

  return {
    async stop(graceMs) {
      stopping.abort();
      for (const task of tasks) await task.destroy();
      await Promise.all(repeated.map((each) => each.stop()));
      await queue.stop(graceMs);
    },
  };
}

/** Looks for leaked uploads, unless the config says never. */
async function sweepInTurn(pipeline: Pipeline, signal: AbortSignal): Promise<void> {
  const olderThanMs = pipeline.config.worker.sweepAfterMs;
  if (olderThanMs === 0) return;
  try {
    signal.throwIfAborted();
    await sweepAll(pipeline, { olderThanMs, signal });
  } catch (error) {
    if (signal.aborted) return;
    pipeline.logger.warn({ reason: describeError(error) }, 'looking for leaked uploads failed');
  }
}

/** Looks for entries that a definition adopts, as often as it says. */
function lookRegularly(
  pipeline: Pipeline,
  definition: AdoptingDefinition,
  tickMs: number,
  signal: AbortSignal,
): Repetition {
  const told = new Set<string>();
  return regularly(Math.min(tickMs, definition.adopt.everyMs), async () => {
    try {
      await adoptEntries(pipeline, definition, { signal, told });
    } catch (error) {
      const told = {
        work: 'adopt',
        definition: definition.name,
        code: errorCode(error),
        final: false,
      } as const;
      pipeline.events.emit('event', { kind: 'failed', ...told });
      pipeline.logger.error(
        { definition: definition.name, reason: describeError(error) },
        'looking for entries failed; the next tick tries again',
      );
    }
  });
}

/** Queues the next step of runs that have none. */
export async function rescue(pipeline: Pipeline): Promise<number> {
  const stuck = await stuckRuns(pipeline.db);
  for (const run of stuck) {
    const { id, state } = run;
    pipeline.logger.warn({ run: id, state }, 'this run had no next step in the queue; it has one again');
    reached('before:rescue');
    await pipeline.queue.sendStep(pipeline.db, run);
    reached('after:rescue');
  }
  return stuck.length;
}
