import { UdmSyncError } from '../errors.ts';
import type { Claim, StepPayload } from '../queue/queue.ts';
import { databaseNow } from '../store/database.ts';
import { liveExport, moveExport, notePoll } from '../store/exports.ts';
import type { Run } from '../store/runs.ts';
import type { Pipeline } from './context.ts';
import { backoff } from './delays.ts';
import { afterFailedExport, settleStep } from './settle.ts';
import { cancelJob, hasVanished, look, sightingColumns } from './upstream-job.ts';

/**
 * The step of a `cancelling` run: cancels the upstream job and waits until it has really ended.
 * Only then may the window have another job.
 */
export async function cancelExport(pipeline: Pipeline, claim: Claim<StepPayload>, run: Run): Promise<void> {
  const row = await liveExport(pipeline.db, run.id);
  if (!row) throw new UdmSyncError('ERR_STATE', `Run ${run.id} has no upstream job to cancel.`);
  const seen = await look(pipeline, run, row, claim.signal);
  const now = await databaseNow(pipeline.db);
  const columns = sightingColumns(row, seen, now);
  const why = run.reason ?? 'cancelled';
  const durationMs = now.getTime() - (row.createdAt ?? row.intendedAt).getTime();

  if (seen.status === 'completed' && seen.entry) {
    const outcome = run.cancelRequestedAt
      ? afterFailedExport(pipeline, run, 'cancelled by an operator; its files stay upstream')
      : // It finished after all, while we were giving up on it: take what it made.
        { to: 'collecting' as const, nextMs: 0, reason: 'completed before it could be cancelled' };
    await settleStep(pipeline, claim, run, {
      ...outcome,
      tell: { kind: 'export', run, outcome: 'completed', durationMs },
      also: (tx) => moveExport(tx, row, 'completed', pipeline.who, undefined, columns),
    });
    return;
  }
  if (seen.status === 'failed' || seen.status === 'cancelled' || hasVanished(pipeline, row, seen, now)) {
    const outcome = afterFailedExport(pipeline, run, why);
    await settleStep(pipeline, claim, run, {
      ...outcome,
      tell: { kind: 'export', run, outcome: 'cancelled', durationMs },
      also: async (tx) => {
        await moveExport(tx, row, 'cancelled', pipeline.who, why, columns);
        await outcome.also?.(tx, run);
      },
    });
    return;
  }
  const jobId = columns.upstreamJobId ?? row.upstreamJobId;
  if (jobId !== null) await cancelJob(pipeline, claim, run, jobId);
  await settleStep(pipeline, claim, run, {
    reason: why,
    nextMs: backoff(row.polls + 1, pipeline.config.worker.poll, Math.random()),
    also: (tx) => notePoll(tx, row.id, columns),
  });
}
