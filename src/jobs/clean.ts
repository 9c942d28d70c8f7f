import { reached } from '../crash-points.ts';
import { UdmSyncError } from '../errors.ts';
import type { Claim, StepPayload } from '../queue/queue.ts';
import { databaseNow, transact } from '../store/database.ts';
import type { Export } from '../store/exports.ts';
import { deletableFiles, filesOfExport, markDeleted, sharedNames } from '../store/files.ts';
import type { Run } from '../store/runs.ts';
import { deletionOf, refuseReplaced } from './adopted.ts';
import { addFiles, completedExport, listExportFiles } from './collect.ts';
import { definitionOf, sinkOf } from './context.ts';
import type { Pipeline } from './context.ts';
import { fence } from './fence.ts';
import { logFileMoves } from './moves.ts';
import { settleStep } from './settle.ts';

/** As many names as the upstream takes in one list. */
const listLimit = 100;

/**
 * The step of a `stored` run: deletes upstream what the definition says, and nothing that is not committed as
 * verified. Repeating it after a crash is harmless: what is gone answers 404, which means done.
 */
export async function cleanUpstream(pipeline: Pipeline, claim: Claim<StepPayload>, run: Run): Promise<void> {
  const mode = deletionOf(run, definitionOf(pipeline, run).delete);
  if (mode === 'nothing') {
    await settleStep(pipeline, claim, run, {
      to: 'done',
      reason: 'upstream files are kept (delete: nothing)',
    });
    return;
  }
  sinkOf(pipeline, run);
  const row = await completedExport(pipeline, run);
  // A file that is listed only now would go with its history entry, or be left behind: it is copied first.
  const known = new Set((await filesOfExport(pipeline.db, row.id)).map((file) => file.name));
  const listed = await listExportFiles(pipeline, run, row, claim.signal);
  const late = listed.filter((file) => !known.has(file.name));
  if (late.length > 0) {
    const now = await databaseNow(pipeline.db);
    await settleStep(pipeline, claim, run, {
      to: 'transferring',
      reason: `${late.length} more files have appeared; the manifest is written anew`,
      also: async (tx) => {
        await addFiles(pipeline, tx, run, row, late, now);
      },
    });
    return;
  }
  if (run.origin === 'adopt') await refuseReplaced(pipeline, run, row, claim.signal);
  await deleteFiles(pipeline, claim, run, row);
  const upstream = pipeline.upstream(run.tenant);
  if (mode !== 'files') {
    const stillOurs = await fence(pipeline, claim);
    reached('before:delete-history');
    stillOurs();
    await upstream.deleteHistory(row.upstreamHistoryId, claim.signal);
    reached('after:delete-history');
  }
  if (mode === 'files-and-job' && row.upstreamJobId !== null) {
    const stillOurs = await fence(pipeline, claim);
    reached('before:delete-job');
    stillOurs();
    await upstream.deleteJob(row.upstreamJobId, claim.signal);
    reached('after:delete-job');
  }
  await settleStep(pipeline, claim, run, { to: 'done' });
}

/** DELETE /v10/files in lists, only of names that stand for nothing that is not verified. */
async function deleteFiles(
  pipeline: Pipeline,
  claim: Claim<StepPayload>,
  run: Run,
  row: Export,
): Promise<void> {
  const { db, queue, who, events } = pipeline;
  const candidates = await deletableFiles(db, row.id);
  const names = candidates.map((file) => file.name);
  const pending = (await sharedNames(db, run.tenant, names, row.id)).filter(
    (other) => other.state === 'waiting' || other.state === 'transferring' || other.state === 'dead',
  );
  const unsafe = new Set(pending.map((other) => other.name));
  const deletable = candidates.filter((file) => !unsafe.has(file.name));
  let kept = 0;
  for (let at = 0; at < deletable.length; at += listLimit) {
    const slice = deletable.slice(at, at + listLimit);
    const stillOurs = await fence(pipeline, claim);
    reached('before:delete-files');
    stillOurs();
    const { remaining } = await pipeline.upstream(run.tenant).deleteFiles(
      slice.map((file) => file.name),
      claim.signal,
    );
    reached('after:delete-files');
    const gone = slice.filter((file) => !remaining.includes(file.name));
    kept += remaining.length;
    await transact(db, async (tx) => {
      await markDeleted(tx, gone, who);
      await queue.renew(tx, claim);
      reached('before:note-deleted');
    });
    reached('after:note-deleted');
    logFileMoves(pipeline.logger, run, gone, { from: 'verified', to: 'deleted' });
    events.emit('event', { kind: 'deleted', run, files: gone.length });
  }
  const [shared] = pending;
  if (shared)
    throw new UdmSyncError(
      'ERR_NAME_SHARED',
      `${JSON.stringify(shared.name)} is also the name of a file of run ${shared.runId} that is not stored yet.`,
      { hint: 'It is deleted when both are stored.', retryable: true },
    );
  if (kept > 0)
    throw new UdmSyncError(
      'ERR_UPSTREAM_KEEPS',
      `The upstream would not delete ${kept} files now; they are safe in the sink.`,
      {
        hint: 'It is asked again, with growing delay; the vendor deletes them after 30 days in any case.',
        retryable: true,
      },
    );
}
