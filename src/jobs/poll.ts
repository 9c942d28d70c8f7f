import { UdmSyncError } from '../errors.ts';
import type { Claim, StepPayload } from '../queue/queue.ts';
import { databaseNow } from '../store/database.ts';
import { liveExport, moveExport, notePoll } from '../store/exports.ts';
import type { Export } from '../store/exports.ts';
import { appendHistory } from '../store/history.ts';
import type { Run } from '../store/runs.ts';
import { definitionOf } from './context.ts';
import type { Pipeline } from './context.ts';
import { pollDelay } from './delays.ts';
import { afterFailedExport, logFields, settleStep } from './settle.ts';
import type { Outcome } from './settle.ts';
import { cancelSurplus, findByMarker, hasVanished, look, sightingColumns } from './upstream-job.ts';
import type { Sighting } from './upstream-job.ts';

/** The step of an `exporting` run: looks at the upstream job once and decides when to look again. */
export async function pollExport(pipeline: Pipeline, claim: Claim<StepPayload>, run: Run): Promise<void> {
  const row = await liveExport(pipeline.db, run.id);
  if (!row) throw new UdmSyncError('ERR_STATE', `Run ${run.id} is exporting but has no live export.`);
  if (run.cancelRequestedAt) {
    await settleStep(pipeline, claim, run, {
      to: 'cancelling',
      nextMs: 0,
      reason: 'cancelled by an operator',
    });
    return;
  }
  const seen = await look(pipeline, run, row, claim.signal);
  if (row.createTries > 1) {
    const carriers = await findByMarker(pipeline.upstream(run.tenant), row.marker, claim.signal);
    const surplus = carriers.filter((carrier) => carrier.jobId !== row.upstreamJobId);
    await cancelSurplus(pipeline, claim, run, surplus);
  }
  const now = await databaseNow(pipeline.db);
  const outcome = decide(pipeline, run, row, seen, now);
  const columns = sightingColumns(row, seen, now);
  pipeline.events.emit('event', { kind: 'progress', run, progress: columns.progress });
  const firstOfItsKind = seen.status === 'unknown' && seen.word !== undefined && seen.word !== row.statusWord;
  if (firstOfItsKind)
    pipeline.logger.warn(
      logFields(run, { word: seen.word }),
      'the upstream uses a status word this version does not know; it is taken as "not finished" (tenants.*.statusWords teaches it)',
    );
  await settleStep(pipeline, claim, run, {
    ...outcome,
    also: async (tx) => {
      await notePoll(tx, row.id, columns);
      if (firstOfItsKind)
        await appendHistory(tx, [
          {
            runId: run.id,
            subject: 'export',
            from: row.state,
            to: row.state,
            who: pipeline.who,
            reason: `unknown status word "${seen.word}"`,
          },
        ]);
      await outcome.also?.(tx, run);
    },
  });
}

function decide(pipeline: Pipeline, run: Run, row: Export, seen: Sighting, now: Date): Outcome {
  const elapsed = now.getTime() - (row.createdAt ?? row.intendedAt).getTime();
  const ended = (
    to: 'completed' | 'failed' | 'cancelled' | 'vanished',
    reason: string | undefined,
    outcome: Outcome,
  ): Outcome => ({
    ...outcome,
    tell: { kind: 'export', run, outcome: to, durationMs: elapsed },
    also: async (tx) => {
      await moveExport(tx, row, to, pipeline.who, reason);
      await outcome.also?.(tx, run);
    },
  });
  const words = seen.word === undefined ? '' : ` ("${seen.word}")`;
  const why = seen.entry?.reason === undefined ? '' : `: ${seen.entry.reason}`;
  switch (seen.status) {
    case 'completed':
      // Without a history entry there is nothing to collect by yet.
      if (seen.entry) return ended('completed', undefined, { to: 'collecting', nextMs: 0 });
      break;
    case 'failed': {
      const reason = `the upstream reports the export as failed${words}${why}`;
      return ended('failed', reason, afterFailedExport(pipeline, run, reason));
    }
    case 'cancelled': {
      const reason = `the export was cancelled upstream${words}${why}`;
      return ended('cancelled', reason, afterFailedExport(pipeline, run, reason));
    }
    default:
  }
  if (hasVanished(pipeline, row, seen, now)) {
    const reason = 'the upstream no longer knows the job, nor a history entry of it';
    return ended('vanished', reason, afterFailedExport(pipeline, run, reason));
  }
  const definition = definitionOf(pipeline, run);
  if (elapsed > definition.maxExportDurationMs)
    return {
      to: 'cancelling',
      nextMs: 0,
      reason: `not finished within maxExportDuration (${Math.round(definition.maxExportDurationMs / 60_000)} min)`,
    };
  const { minMs, maxMs } = pipeline.config.worker.poll;
  return { nextMs: pollDelay(elapsed, seen.entry?.progress, { minMs, maxMs }, Math.random()) };
}
