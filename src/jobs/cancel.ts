import { UdmSyncError } from '../errors.ts';
import type { Claim, StepPayload } from '../queue/queue.ts';
import { liveExport, moveExport, notePoll } from '../store/exports.ts';
import type { Run } from '../store/runs.ts';
import type { Pipeline } from './context.ts';
import { afterFailedExport, settleStep } from './settle.ts';
import { cancelJob, look } from './upstream-job.ts';

/**
 * The step of a `cancelling` run: cancels the upstream job and waits until it has really ended.
 * Only then may the window have another job.
 */
export async function cancelExport(pipeline: Pipeline, claim: Claim<StepPayload>, run: Run): Promise<void> {
  const row = await liveExport(pipeline.db, run.id);
  if (row?.upstreamJobId == null)
    throw new UdmSyncError('ERR_STATE', `Run ${run.id} has no upstream job to cancel.`);
  const seen = await look(pipeline, run, row, claim.signal);
  const why = run.reason ?? 'cancelled';

  if (seen.status === 'completed' && seen.entry && !run.cancelRequestedAt) {
    // It finished after all, while we were giving up on it: take what it made.
    const historyId = seen.entry.id;
    await settleStep(pipeline, claim, run, {
      to: 'collecting',
      nextMs: 0,
      reason: 'completed before it could be cancelled',
      also: (tx) =>
        moveExport(tx, row, 'completed', pipeline.who, undefined, { upstreamHistoryId: historyId }),
    });
    return;
  }
  const gone =
    !seen.entry &&
    !seen.job &&
    (await pipeline.upstream(run.tenant).getJob(row.upstreamJobId, claim.signal)) === undefined;
  if (gone || seen.status === 'completed' || seen.status === 'failed' || seen.status === 'cancelled') {
    const outcome = afterFailedExport(pipeline, run, why);
    await settleStep(pipeline, claim, run, {
      ...outcome,
      also: async (tx) => {
        await moveExport(tx, row, seen.status === 'completed' ? 'completed' : 'cancelled', pipeline.who, why);
        await outcome.also?.(tx, run);
      },
    });
    return;
  }
  await cancelJob(pipeline.upstream(run.tenant), row.upstreamJobId, claim.signal);
  await settleStep(pipeline, claim, run, {
    reason: why,
    nextMs: pipeline.config.worker.poll.minMs,
    also: (tx) => notePoll(tx, row.id, seen.word === undefined ? {} : { statusWord: seen.word }),
  });
}
