import { reached } from '../crash-points.ts';
import { UsageError } from '../errors.ts';
import { databaseNow, transact } from '../store/database.ts';
import type { Transaction } from '../store/database.ts';
import { latestExport, liveExport, moveExport } from '../store/exports.ts';
import { filesOfExport, moveFile } from '../store/files.ts';
import { lockRun, moveRun, patchRun } from '../store/runs.ts';
import type { Run, RunState } from '../store/runs.ts';
import { queueTransfers } from './collect.ts';
import type { Pipeline } from './context.ts';
import { assessSet } from './file-set.ts';
import { logFileMoves, logRunMove } from './moves.ts';

/**
 * Gives a failed or cancelled run a new life, where it left off: a live upstream job is polled on, files that are
 * already verified are kept, dead ones get their attempts back. Only a run whose files are lost, or that never had
 * any, is exported anew.
 *
 * @throws UsageError when the run is neither failed nor cancelled
 */
export async function reviveRun(pipeline: Pipeline, runId: number): Promise<RunState> {
  const moved = await transact(pipeline.db, async (tx) => {
    const run = await lockRun(tx, runId);
    if (!run) throw new UsageError(`There is no run ${runId}.`, { hint: 'udm-sync runs lists them.' });
    if (run.state !== 'failed' && run.state !== 'cancelled')
      throw new UsageError(`Run ${runId} is ${run.state}; only a failed or cancelled run can be retried.`);
    const to = await whereToGoOn(pipeline, tx, run);
    await moveRun(tx, run, to, pipeline.who, 'retried by an operator', {
      failures: 0,
      cancelRequestedAt: null,
      // It has a history again.
      prunedAt: null,
    });
    await pipeline.queue.hurry(tx, run);
    reached('before:request-retry');
    return { run, to };
  });
  reached('after:request-retry');
  logRunMove(pipeline.logger, moved.run, { to: moved.to, reason: 'retried by an operator' });
  return moved.to;
}

async function whereToGoOn(pipeline: Pipeline, tx: Transaction, run: Run): Promise<RunState> {
  if (run.origin === 'adopt') return whereAdoptedGoesOn(pipeline, tx, run);
  const live = await liveExport(tx, run.id);
  if (live) return live.state === 'intended' ? 'creating' : 'exporting';
  // What its export made has left Postgres, and the upstream long before.
  if (run.prunedAt) return 'planned';
  const last = await latestExport(tx, run.id);
  if (last?.state !== 'completed' || last.upstreamHistoryId === null) return 'planned';
  const files = await filesOfExport(tx, last.id);
  if (files.length === 0) return 'collecting';
  if (files.some((file) => file.state === 'lost')) return 'planned';
  const pending = files.filter(
    (file) => file.state === 'dead' || file.state === 'waiting' || file.state === 'transferring',
  );
  // A set with a hole stays one: only a new export can help.
  if (pending.length === 0 && !assessSet(files.map((file) => file.name)).complete) return 'planned';
  for (const file of pending) {
    await moveFile(tx, file, 'waiting', pipeline.who, 'retried by an operator', { attempts: 0 });
    logFileMoves(pipeline.logger, run, [file], {
      from: file.state,
      to: 'waiting',
      reason: 'retried by an operator',
    });
  }
  await queueTransfers(pipeline, tx, run, pending, await databaseNow(tx));
  return 'transferring';
}

/** An adopted entry cannot be exported anew: it is looked for again, and so are files that were lost. */
async function whereAdoptedGoesOn(pipeline: Pipeline, tx: Transaction, run: Run): Promise<RunState> {
  const row = await latestExport(tx, run.id);
  if (row?.state !== 'completed')
    throw new UsageError(`Run ${run.id} stands for an export that ${row?.state ?? 'failed'} upstream.`, {
      hint: 'There is nothing to collect. Let its job run again upstream: that makes a new entry, and a new run.',
    });
  if (run.prunedAt)
    throw new UsageError(`Run ${run.id} was pruned: what its entry made has left the upstream long ago.`, {
      hint: 'There is nothing to collect. Let its job run again upstream: that makes a new entry, and a new run.',
    });
  const files = await filesOfExport(tx, row.id);
  const open = files.filter((file) => file.state !== 'verified' && file.state !== 'deleted');
  for (const file of open) {
    await moveFile(tx, file, 'waiting', pipeline.who, 'retried by an operator', { attempts: 0 });
    logFileMoves(pipeline.logger, run, [file], {
      from: file.state,
      to: 'waiting',
      reason: 'retried by an operator',
    });
  }
  if (files.length === 0) return 'collecting';
  await queueTransfers(pipeline, tx, run, open, await databaseNow(tx));
  return 'transferring';
}

/**
 * Asks for a run to be cancelled, upstream as well. A run without a live upstream job is cancelled here and now;
 * otherwise a worker cancels the job and waits until it has ended.
 *
 * @throws UsageError when there is nothing left to cancel
 */
export async function requestCancel(pipeline: Pipeline, runId: number): Promise<RunState> {
  const { run, to } = await transact(pipeline.db, async (tx) => {
    const moved = await cancelNow(pipeline, tx, runId);
    reached('before:request-cancel');
    return moved;
  });
  reached('after:request-cancel');
  logRunMove(pipeline.logger, run, { to, reason: 'cancelled by an operator' });
  return to === 'cancelled' ? to : run.state;
}

async function cancelNow(
  pipeline: Pipeline,
  tx: Transaction,
  runId: number,
): Promise<{ run: Run; to: RunState }> {
  const run = await lockRun(tx, runId);
  if (!run) throw new UsageError(`There is no run ${runId}.`, { hint: 'udm-sync runs lists them.' });
  if (run.state === 'done' || run.state === 'cancelled')
    throw new UsageError(`Run ${runId} is ${run.state}; there is nothing to cancel.`);
  if (run.state === 'stored')
    throw new UsageError(
      `Run ${runId} is stored: its files are verified in the sink. There is nothing to cancel.`,
    );
  const now = await databaseNow(tx);
  const live = await liveExport(tx, runId);
  if (!live) {
    await moveRun(tx, run, 'cancelled', pipeline.who, 'cancelled by an operator', {
      cancelRequestedAt: now,
    });
    return { run, to: 'cancelled' };
  }
  if (live.state === 'intended' && live.createSentAt === null) {
    await moveExport(tx, live, 'cancelled', pipeline.who, 'never created');
    await moveRun(tx, run, 'cancelled', pipeline.who, 'cancelled by an operator', {
      cancelRequestedAt: now,
    });
    return { run, to: 'cancelled' };
  }
  let to: RunState = run.state;
  if (run.state === 'failed') {
    to = live.state === 'intended' ? 'creating' : 'cancelling';
    await moveRun(tx, run, to, pipeline.who, 'cancelled by an operator', { cancelRequestedAt: now });
  } else await patchRun(tx, runId, { cancelRequestedAt: now });
  await pipeline.queue.hurry(tx, run);
  return { run, to };
}
