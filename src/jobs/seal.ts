import { crc32 } from 'node:zlib';
import { Readable } from 'node:stream';
import { reached } from '../crash-points.ts';
import { describeError } from '../errors.ts';
import type { Claim, StepPayload } from '../queue/queue.ts';
import type { Sink } from '../sinks/sink.ts';
import { proveStored } from '../sinks/verify.ts';
import { databaseNow } from '../store/database.ts';
import { filesOfExport } from '../store/files.ts';
import { hasTransfers } from '../store/runs.ts';
import type { Run } from '../store/runs.ts';
import { refuseReplaced } from './adopted.ts';
import { addFiles, completedExport, listExportFiles, manifestKeyOf, queueTransfers } from './collect.ts';
import { definitionOf, sinkOf } from './context.ts';
import type { Pipeline } from './context.ts';
import { fence } from './fence.ts';
import { assessSet } from './file-set.ts';
import { buildManifest } from './manifest.ts';
import { logFields, settleStep } from './settle.ts';

/**
 * The step of a `transferring` run once no file is pending: lists the export's files once more, and when nothing is
 * new, the set is complete and every file verified, writes the manifest. Only that makes the run `stored`.
 */
export async function sealRun(pipeline: Pipeline, claim: Claim<StepPayload>, run: Run): Promise<void> {
  if (run.cancelRequestedAt) {
    await settleStep(pipeline, claim, run, {
      to: 'cancelled',
      reason: 'cancelled by an operator; nothing was deleted upstream',
    });
    return;
  }
  const row = await completedExport(pipeline, run);
  const known = await filesOfExport(pipeline.db, row.id);
  const now = await databaseNow(pipeline.db);
  const pending = known.filter((file) => file.state === 'waiting' || file.state === 'transferring');
  if (pending.length > 0) {
    // Their last transfer queues this step again; should the queue have lost them, queue them anew.
    await settleStep(pipeline, claim, run, {
      also: async (tx) => {
        if (!(await hasTransfers(tx, run.id))) await queueTransfers(pipeline, tx, run, pending, now);
      },
    });
    return;
  }
  const bad = known.filter((file) => file.state === 'dead' || file.state === 'lost');
  if (bad.length > 0) {
    const lost = bad.filter((file) => file.state === 'lost').length;
    const example = bad[0];
    const reason =
      `${bad.length} of ${known.length} files could not be stored (${bad.length - lost} dead, ${lost} lost), ` +
      `the first: ${JSON.stringify(example?.name ?? '')}: ${example?.reason ?? ''}`;
    await settleStep(pipeline, claim, run, { to: 'failed', reason });
    return;
  }
  const listed = await listExportFiles(pipeline, run, row, claim.signal);
  const names = new Set(known.map((file) => file.name));
  const fresh = listed.filter((file) => !names.has(file.name));
  if (fresh.length > 0) {
    await settleStep(pipeline, claim, run, {
      reason: `${fresh.length} more files have appeared`,
      also: async (tx) => {
        await addFiles(pipeline, tx, run, row, fresh, now);
      },
    });
    return;
  }
  // Listings lag behind: what was listed counts as all there is when it has not changed for a while.
  const newest = Math.max((row.finishedAt ?? now).getTime(), ...known.map((file) => file.foundAt.getTime()));
  const settledMs = newest + pipeline.config.worker.collectSettleMs - now.getTime();
  if (settledMs > 0) {
    await settleStep(pipeline, claim, run, {
      reason: 'waiting whether the upstream lists more files',
      nextMs: settledMs,
    });
    return;
  }
  const definition = definitionOf(pipeline, run);
  const set = assessSet([...names]);
  if (!set.complete) {
    const waited = now.getTime() - (row.finishedAt ?? now).getTime();
    const reason = `the split set is incomplete: ${set.missing} is not listed`;
    await settleStep(
      pipeline,
      claim,
      run,
      waited > definition.maxExportDurationMs
        ? { to: 'failed', reason: `${reason}; nothing was deleted upstream` }
        : { reason, nextMs: pipeline.config.worker.collectSettleMs },
    );
    return;
  }
  if (run.origin === 'adopt') await refuseReplaced(pipeline, run, row, claim.signal);
  const { sink, verify } = sinkOf(pipeline, run);
  await sweepLeftovers(pipeline, run, sink);
  const manifest = buildManifest(run, definition, row, known, sink.uri, now);
  const body = Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`);
  const key = run.manifestKey ?? manifestKeyOf(pipeline, run);
  // A manifest of a worker that was frozen could replace one that lists more.
  const stillOurs = await fence(pipeline, claim);
  reached('before:manifest');
  stillOurs();
  await sink.put(key, Readable.from([body]), {
    length: body.length,
    contentType: 'application/json',
    signal: claim.signal,
  });
  reached('after:manifest');
  await proveStored(sink, key, { bytes: body.length, crc32: crc32(body) }, verify, claim.signal);
  await settleStep(pipeline, claim, run, {
    to: 'stored',
    reason: `${manifest.totals.files} files, ${manifest.totals.bytes} bytes`,
    nextMs: 0,
  });
}

/**
 * Removes what writers that died left unfinished in the run's folder: it is invisible in listings and paid for.
 * Every file is verified, so nobody has anything to write here any more, whatever the clocks say.
 */
async function sweepLeftovers(pipeline: Pipeline, run: Run, sink: Sink): Promise<void> {
  const folder = (run.manifestKey ?? manifestKeyOf(pipeline, run)).replace(/[^/]+$/, '');
  try {
    const { aborted, bytes } = await sink.sweep(folder, new Date(Date.now() + 86_400_000));
    if (aborted > 0) {
      pipeline.events.emit('event', {
        kind: 'aborted',
        sink: run.sink,
        why: 'leftover',
        uploads: aborted,
        bytes,
      });
      pipeline.logger.info(logFields(run, { aborted, bytes }), 'removed unfinished uploads of dead writers');
    }
  } catch (error) {
    // The files are safe all the same; a lifecycle rule is the net below this.
    const reason = describeError(error);
    pipeline.logger.warn(logFields(run, { reason }), 'unfinished uploads could not be looked for');
  }
}
