import { reached } from '../crash-points.ts';
import { UdmSyncError } from '../errors.ts';
import type { Claim, TransferPayload } from '../queue/queue.ts';
import { crc32Text } from '../sinks/checksum.ts';
import { databaseNow, lockFor, transact } from '../store/database.ts';
import type { Transaction } from '../store/database.ts';
import { latestExport } from '../store/exports.ts';
import {
  claimFiles,
  countFilesByState,
  countTransfers,
  filesOfRun,
  heldFiles,
  moveFile,
  verifyFiles,
} from '../store/files.ts';
import type { File, VerifiedFile } from '../store/files.ts';
import { findRun, lockRun } from '../store/runs.ts';
import type { Run } from '../store/runs.ts';
import { inRunSpan, inSpan, runAttributes } from '../tracing.ts';
import { queueTransfers } from './collect.ts';
import { retryOf } from './context.ts';
import type { Pipeline } from './context.ts';
import { afterDeaths } from './deaths.ts';
import { backoff } from './delays.ts';
import { logFileMoves } from './moves.ts';
import { errorCode, logFields } from './settle.ts';
import { prepareBatch, transferFile } from './transfer-file.ts';
import type { Batch, Stored } from './transfer-file.ts';
import { judge } from './verdict.ts';

/** How often a batch that waits for its tenant's limit asks again. */
const queueForLimitMs = 1_500;
/** Files of a batch that are copied at a time. They are small: their round trips are what takes time. */
const filesAtOnce = 8;

type Result =
  | { readonly kind: 'verified'; readonly file: File; readonly stored: Stored }
  | { readonly kind: 'failed'; readonly file: File; readonly error: unknown }
  | {
      readonly kind: 'given-back';
      readonly file: File;
      readonly reason: string;
      /** When it is to be copied, in ms from now, and what its next batch has to know. */
      readonly afterMs: number;
      readonly deaths: number;
    };

/**
 * Copies a batch of files into the sink, a few at a time, proves each, and commits what was achieved together with the
 * batch's completion. A file that fails is queued again by itself and holds up none of the others.
 */
export async function transferBatch(pipeline: Pipeline, claim: Claim<TransferPayload>): Promise<void> {
  const run = await findRun(pipeline.db, claim.payload.runId);
  if (run?.state !== 'transferring') {
    await transact(pipeline.db, async (tx) => {
      for (const file of await heldFiles(tx, claim.id))
        await moveFile(tx, file, 'waiting', pipeline.who, 'given back: its run has moved on');
      await pipeline.queue.complete(tx, claim);
      reached('before:commit-files');
    });
    reached('after:commit-files');
    return;
  }
  const files = await begin(pipeline, claim, run);
  if (files === undefined) return;
  await inRunSpan('transfer', run, { 'udm_sync.files': files.length }, async () =>
    finish(
      pipeline,
      claim,
      withoutCopying(pipeline, claim, run, files) ?? (await transferAll(pipeline, claim, run, files)),
    ),
  );
}

/** What becomes of files whose workers die again and again; undefined: they are copied. */
function withoutCopying(
  pipeline: Pipeline,
  { payload, retryCount }: Claim<TransferPayload>,
  run: Run,
  files: readonly File[],
): Result[] | undefined {
  const { verdict, deaths, carried } = afterDeaths(payload.deaths ?? 0, retryCount, files.length);
  switch (verdict) {
    case 'copy':
      return undefined;
    case 'apart': {
      const reason = `${deaths} workers in a row have died or were cut off meanwhile; it is copied apart, later`;
      return files.map((file) => {
        const afterMs = backoff(Math.max(carried, 1), retryOf(pipeline, run), Math.random());
        return { kind: 'given-back', file, reason, afterMs, deaths: carried };
      });
    }
    case 'dead': {
      const error = new UdmSyncError(
        'ERR_WORKER_DIES',
        `${deaths} workers in a row have died, or lost Postgres, while they copied this file.`,
        {
          hint: `See why they ended (memory limit, liveness probe, Postgres), then: udm-sync retry ${run.id}`,
        },
      );
      return files.map((file) => ({ kind: 'failed', file, error }));
    }
  }
}

async function transferAll(
  pipeline: Pipeline,
  claim: Claim<TransferPayload>,
  run: Run,
  files: readonly File[],
): Promise<Result[]> {
  let batch: Batch;
  try {
    batch = await prepareBatch(
      pipeline,
      run,
      files,
      claim.queue === 'transfer-small' ? 'small' : 'large',
      claim.signal,
    );
  } catch (error) {
    return files.map((file) => failure(pipeline, claim, file, error));
  }
  const results: Result[] = [];
  const waiting = [...files];
  const one = async () => {
    for (let file = waiting.shift(); file; file = waiting.shift())
      results.push(await attempt(pipeline, claim, batch, file));
  };
  await Promise.all(Array.from({ length: Math.min(filesAtOnce, files.length) }, one));
  return results;
}

/** Claims the batch's files, or puts the batch off while the tenant has as many transfers as it may. */
async function begin(
  pipeline: Pipeline,
  claim: Claim<TransferPayload>,
  run: Run,
): Promise<File[] | undefined> {
  const { db, queue, who, config } = pipeline;
  const { fileIds, tenant } = claim.payload;
  const limit = config.tenants[tenant]?.limits.transfers ?? 1;
  const begun = await transact(db, async (tx) => {
    await lockFor(tx, `transfers:${tenant}`);
    if ((await countTransfers(tx, tenant, claim.id)) < limit) {
      const claimed = await claimFiles(tx, fileIds, claim.id, who);
      await queue.renew(tx, claim);
      reached('before:claim-files');
      return claimed;
    }
    const waiting = (await filesOfRun(tx, run.id)).filter((file) => fileIds.includes(file.id));
    await queue.complete(tx, claim);
    await queueTransfers(
      pipeline,
      tx,
      run,
      waiting,
      await databaseNow(tx),
      queueForLimitMs * (0.7 + 0.6 * Math.random()),
      afterDeaths(claim.payload.deaths ?? 0, claim.retryCount, fileIds.length).carried,
    );
    reached('before:claim-files');
    return undefined;
  });
  reached('after:claim-files');
  if (begun) logFileMoves(pipeline.logger, run, begun, { from: 'waiting', to: 'transferring' });
  return begun;
}

async function attempt(
  pipeline: Pipeline,
  claim: Claim<TransferPayload>,
  batch: Batch,
  file: File,
): Promise<Result> {
  if (pipeline.draining.aborted || claim.signal.aborted) return handedBack(file);
  const begun = performance.now();
  try {
    const about = { ...runAttributes(batch.run), 'udm_sync.file': file.name, 'udm_sync.file_id': file.id };
    const stored = await inSpan('file', about, () => transferFile(pipeline, batch, file));
    const { id: fileId, name } = file;
    const { run } = batch;
    pipeline.events.emit('event', {
      kind: 'file',
      run,
      fileId,
      name,
      state: 'verified',
      bytes: stored.bytes,
      durationMs: performance.now() - begun,
    });
    return { kind: 'verified', file, stored };
  } catch (error) {
    return failure(pipeline, claim, file, error);
  }
}

function handedBack(file: File): Result {
  return { kind: 'given-back', file, reason: 'given back: the worker stops', afterMs: 0, deaths: 0 };
}

/** Whatever fails while the process stops, or after another worker took over, is not the file's fault. */
function failure(pipeline: Pipeline, claim: Claim<TransferPayload>, file: File, error: unknown): Result {
  if (claim.signal.aborted || pipeline.draining.aborted) return handedBack(file);
  return { kind: 'failed', file, error };
}

/** Commits the results, the completion, and what comes next: the failed files again, or the run's next step. */
async function finish(
  pipeline: Pipeline,
  claim: Claim<TransferPayload>,
  results: readonly Result[],
): Promise<void> {
  const { db, queue, who } = pipeline;
  const verified = await transact(db, async (tx) => {
    const run = await lockRun(tx, claim.payload.runId);
    const held = new Set((await heldFiles(tx, claim.id)).map((file) => file.id));
    await queue.complete(tx, claim);
    if (!run) return undefined;
    const now = await databaseNow(tx);
    // An operator may have taken files away meanwhile (cancel, then retry): their new batch decides about them.
    const ours = results.filter((result) => held.has(result.file.id));
    await verifyFiles(
      tx,
      ours.flatMap((result) => (result.kind === 'verified' ? [verifiedRow(result.stored)] : [])),
      who,
    );
    for (const result of ours) await record(pipeline, tx, run, result, now);
    if (run.state === 'transferring') {
      const exportId = results[0]?.file.exportId ?? (await latestExport(tx, run.id))?.id;
      const counts = exportId === undefined ? {} : await countFilesByState(tx, exportId);
      if (!counts.waiting && !counts.transferring) await queue.sendStep(tx, run);
    }
    reached('before:commit-files');
    return { run, results: ours.filter((result) => result.kind === 'verified') };
  });
  reached('after:commit-files');
  if (verified === undefined) return;
  for (const { file, stored } of verified.results) {
    const { level } = stored.proof;
    const fields = {
      file: file.name,
      from: 'transferring',
      to: 'verified',
      bytes: stored.bytes,
      proof: level,
    };
    pipeline.logger.info(logFields(verified.run, fields), 'file moved');
  }
}

function verifiedRow({ file, bytes, crc32, etag, sourceEtag, proof }: Stored): VerifiedFile {
  return {
    file,
    size: bytes,
    crc32: crc32Text(crc32),
    etag: etag ?? null,
    sourceEtag: sourceEtag ?? null,
    proof: proof.level,
  };
}

/** Commits what becomes of a file that was not verified. */
async function record(
  pipeline: Pipeline,
  tx: Transaction,
  run: Run,
  result: Result,
  now: Date,
): Promise<void> {
  const { who, events, logger } = pipeline;
  const { file } = result;
  if (result.kind === 'verified') return;
  if (result.kind === 'given-back') {
    const { reason, afterMs, deaths } = result;
    await moveFile(tx, file, 'waiting', who, reason);
    logFileMoves(logger, run, [file], { from: 'transferring', to: 'waiting', reason });
    if (run.state === 'transferring') await queueTransfers(pipeline, tx, run, [file], now, afterMs, deaths);
    return;
  }
  const verdict = judge(file, result.error, retryOf(pipeline, run), now, Math.random());
  await moveFile(tx, file, verdict.state, who, verdict.reason, {
    attempts: verdict.attempts,
    holdups: verdict.holdups,
  });
  const fields = logFields(run, {
    file: file.name,
    from: 'transferring',
    to: verdict.state,
    state: verdict.state,
    attempts: verdict.attempts,
    reason: verdict.reason,
  });
  if (verdict.state === 'lost')
    logger.error(fields, 'file lost: the upstream no longer has it, and we never did');
  else if (verdict.state === 'dead') logger.error(fields, 'file given up: it stays upstream');
  else logger.warn(fields, 'transfer failed');
  events.emit('event', {
    kind: 'file',
    run,
    fileId: file.id,
    name: file.name,
    state: verdict.state === 'waiting' ? 'failed' : verdict.state,
    bytes: 0,
    code: errorCode(result.error),
  });
  if (verdict.state === 'waiting' && run.state === 'transferring')
    await queueTransfers(pipeline, tx, run, [file], now, verdict.delayMs);
}
