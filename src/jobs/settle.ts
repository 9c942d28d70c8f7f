import { reached } from '../crash-points.ts';
import { UdmSyncError, describeError } from '../errors.ts';
import { LostClaimError } from '../queue/queue.ts';
import type { Claim, StepPayload } from '../queue/queue.ts';
import { isDatabaseTrouble, transact } from '../store/database.ts';
import type { Transaction } from '../store/database.ts';
import { lockRun, moveRun, patchRun } from '../store/runs.ts';
import type { Run, RunState } from '../store/runs.ts';
import { backoff } from './delays.ts';
import { retryOf } from './context.ts';
import type { Pipeline, PipelineEvent } from './context.ts';

/** What a step decided, to be committed together with its completion. */
export interface Outcome {
  /** Where the run goes; absent: it stays. */
  readonly to?: RunState;
  readonly reason?: string;
  /** When the next step is due, in ms from now; absent: none is queued (the run is final, or transfers go on). */
  readonly nextMs?: number;
  /** Further effects on the database, in the same transaction. */
  readonly also?: (tx: Transaction, run: Run) => Promise<void>;
  /** Told to whoever listens, once all that is committed. */
  readonly tell?: PipelineEvent;
}

/** The claim could not be kept, or the process stops: not a failure of the run. */
function isInterruption(error: unknown, claim: Claim<unknown>, pipeline: Pipeline): boolean {
  return error instanceof LostClaimError || claim.signal.aborted || pipeline.draining.aborted;
}

const surroundings =
  /^ERR_(UDM_(UNAVAILABLE|TIMEOUT|UNKNOWN_OUTCOME|API_KEY|CLIENT_CREDENTIALS|USER_CREDENTIALS|UNAUTHORIZED|FORBIDDEN|NOT_FOUND)|SINK_(?!REFUSED$)\w+|DOWNLOAD_UNREACHABLE|DATABASE|DEFINITION_GONE|TENANT_GONE)$/;

/**
 * Failures of the surroundings: waiting and trying again is right however long they last, because an operator or
 * time mends them and nothing is lost meanwhile.
 */
export function isSurroundings(error: unknown): boolean {
  if (error instanceof UdmSyncError) return surroundings.test(error.code);
  return isDatabaseTrouble(error);
}

/** A failure in a word, of a bounded set: our code, ERR_DATABASE for Postgres' troubles, `unforeseen` for anything else. */
export function errorCode(error: unknown): string {
  if (error instanceof UdmSyncError) return error.code;
  return isDatabaseTrouble(error) ? 'ERR_DATABASE' : 'unforeseen';
}

/** Commits what a step did, its completion and the next step in one transaction. */
export async function settleStep(
  pipeline: Pipeline,
  claim: Claim<StepPayload>,
  run: Run,
  outcome: Outcome,
): Promise<void> {
  const { db, queue, who, events } = pipeline;
  const effect = `commit-${outcome.to ?? 'wait'}` as const;
  const moved = await transact(db, async (tx) => {
    const current = await lockRun(tx, run.id);
    await queue.complete(tx, claim);
    if (current?.state !== run.state) {
      // An operator has moved the run meanwhile: what this step decided no longer applies.
      await queue.sendStep(tx, run);
      return false;
    }
    await outcome.also?.(tx, run);
    const nextStepMs = outcome.nextMs ?? null;
    if (outcome.to !== undefined && outcome.to !== run.state)
      await moveRun(tx, run, outcome.to, who, outcome.reason, { nextStepMs });
    else
      await patchRun(tx, run.id, {
        stepFailures: 0,
        stepFaults: 0,
        reason: outcome.reason ?? null,
        nextStepMs,
      });
    if (outcome.nextMs !== undefined) await queue.sendStep(tx, run, outcome.nextMs);
    reached(`before:${effect}`);
    return true;
  });
  reached(`after:${effect}`);
  if (moved && outcome.tell) events.emit('event', outcome.tell);
  if (moved && outcome.to !== undefined && outcome.to !== run.state) {
    const fields = logFields(run, { from: run.state, to: outcome.to, reason: outcome.reason });
    if (outcome.to === 'failed') pipeline.logger.error(fields, 'run failed');
    else pipeline.logger.info(fields, 'run moved');
    events.emit('event', { kind: 'run', run, from: run.state, to: outcome.to, reason: outcome.reason });
  }
}

/**
 * States in which an upstream job may be live, or only clean-up is left: a run that gave up there would leave the job
 * to itself, and its place under the tenant's limit taken. It waits, with growing delay and the reason on it.
 */
const neverGivenUp: readonly RunState[] = ['creating', 'exporting', 'cancelling', 'stored'];

/** Commits that a step failed: when it is tried again, or that the run has failed. */
export async function settleFailure(
  pipeline: Pipeline,
  claim: Claim<StepPayload>,
  run: Run,
  error: unknown,
): Promise<void> {
  if (isInterruption(error, claim, pipeline)) {
    await giveBack(pipeline, claim, run);
    return;
  }
  const { db, queue, who, logger } = pipeline;
  const retry = retryOf(pipeline, run);
  const failures = run.stepFailures + 1;
  const reason = describeError(error);
  const faults = run.stepFaults + (isSurroundings(error) ? 0 : 1);
  const giveUp = faults >= retry.attempts && !neverGivenUp.includes(run.state);
  const delay = backoff(failures, retry, Math.random());
  await transact(db, async (tx) => {
    const current = await lockRun(tx, run.id);
    await queue.complete(tx, claim);
    if (current?.state !== run.state) {
      await queue.sendStep(tx, run);
      return;
    }
    if (giveUp) {
      await moveRun(tx, run, 'failed', who, reason);
      reached('before:commit-failure');
      return;
    }
    await patchRun(tx, run.id, {
      stepFailures: failures,
      stepFaults: faults,
      reason,
      nextStepMs: delay,
    });
    await queue.sendStep(tx, run, delay);
    reached('before:commit-failure');
  });
  reached('after:commit-failure');
  const code = error instanceof UdmSyncError ? error.code : undefined;
  const fields = logFields(run, { state: run.state, code, reason });
  if (giveUp) logger.error(fields, 'run failed');
  else logger.warn({ ...fields, retryInMs: Math.round(delay) }, 'step failed');
  const told = { work: 'step', definition: run.definition, code: errorCode(error), final: giveUp } as const;
  pipeline.events.emit('event', { kind: 'failed', ...told });
  if (giveUp) pipeline.events.emit('event', { kind: 'run', run, from: run.state, to: 'failed', reason });
}

/** Hands the step to whoever comes next, without counting a failure. */
async function giveBack(pipeline: Pipeline, claim: Claim<StepPayload>, run: Run): Promise<void> {
  await transact(pipeline.db, async (tx) => {
    await lockRun(tx, run.id);
    await pipeline.queue.complete(tx, claim);
    await pipeline.queue.sendStep(tx, run);
    reached('before:give-back');
  });
  reached('after:give-back');
}

/** An export ended without files: try again with a new job, or give up when the attempts are used up. */
export function afterFailedExport(pipeline: Pipeline, run: Run, reason: string): Outcome {
  const retry = retryOf(pipeline, run);
  const failures = run.failures + 1;
  if (run.cancelRequestedAt) return { to: 'cancelled', reason };
  if (failures >= retry.attempts) {
    return { to: 'failed', reason, also: (tx) => patchRun(tx, run.id, { failures }) };
  }
  return {
    to: 'planned',
    reason,
    nextMs: backoff(failures, retry, Math.random()),
    also: (tx) => patchRun(tx, run.id, { failures }),
  };
}

/** The fields every log line about a run carries. */
export function logFields(run: Run, more: Record<string, unknown> = {}): Record<string, unknown> {
  return { run: run.id, definition: run.definition, tenant: run.tenant, attempt: run.attempt, ...more };
}
