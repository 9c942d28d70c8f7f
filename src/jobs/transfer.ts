import pRetry from 'p-retry';
import { UdmSyncError, describeError } from '../errors.ts';
import type { Claim, TransferPayload } from '../queue/queue.ts';
import { crc32Text } from '../sinks/checksum.ts';
import { proveStored } from '../sinks/verify.ts';
import type { Proof } from '../sinks/verify.ts';
import { Source } from '../transfer/source.ts';
import { transfer } from '../transfer/transfer.ts';
import type { PresignedUrl, UdmClient } from '../udm/types.ts';
import { databaseNow, lockFor, transact } from '../store/database.ts';
import type { Transaction } from '../store/database.ts';
import { latestExport } from '../store/exports.ts';
import type { Export } from '../store/exports.ts';
import {
  claimFiles,
  countFilesByState,
  countTransfers,
  filesOfRun,
  heldFiles,
  moveFile,
  sharedNames,
} from '../store/files.ts';
import type { File } from '../store/files.ts';
import { findRun, lockRun } from '../store/runs.ts';
import type { Run } from '../store/runs.ts';
import { queueTransfers } from './collect.ts';
import { retryOf, sinkOf } from './context.ts';
import type { Pipeline } from './context.ts';
import { backoff } from './delays.ts';
import { journalOf } from './journal.ts';
import { isSurroundings, logFields } from './settle.ts';

/** How often a batch that waits for its tenant's limit asks again. */
const queueForLimitMs = 1_500;
/** A broken connection is tried again at once, before it counts as an attempt of the file. */
const quickRetries = 2;

interface Stored {
  readonly file: File;
  readonly bytes: number;
  readonly crc32: number;
  readonly etag: string | undefined;
  readonly sourceEtag: string | undefined;
  readonly proof: Proof;
}
type Result =
  | { readonly kind: 'verified'; readonly file: File; readonly stored: Stored }
  | { readonly kind: 'failed'; readonly file: File; readonly error: unknown }
  | { readonly kind: 'given-back'; readonly file: File };

/**
 * Copies a batch of files into the sink, one after another, proves each, and commits what was achieved together
 * with the batch's completion. A file that fails is queued again by itself and holds up none of the others.
 */
export async function transferBatch(pipeline: Pipeline, claim: Claim<TransferPayload>): Promise<void> {
  const run = await findRun(pipeline.db, claim.payload.runId);
  if (run?.state !== 'transferring') {
    await transact(pipeline.db, async (tx) => {
      for (const file of await heldFiles(tx, claim.id))
        await moveFile(tx, file, 'waiting', pipeline.who, 'given back: its run has moved on');
      await pipeline.queue.complete(tx, claim);
    });
    return;
  }
  const files = await begin(pipeline, claim, run);
  if (files === undefined) return;
  const row = await latestExport(pipeline.db, run.id);
  const results: Result[] = [];
  for (const file of files) {
    if (pipeline.draining.aborted || claim.signal.aborted) results.push({ kind: 'given-back', file });
    else results.push(await attempt(pipeline, claim.signal, run, row, file));
  }
  await finish(pipeline, claim, results);
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
  return transact(db, async (tx) => {
    await lockFor(tx, `transfers:${tenant}`);
    if ((await countTransfers(tx, tenant, claim.id)) < limit) {
      const claimed = await claimFiles(tx, fileIds, claim.id, who);
      await queue.renew(tx, claim);
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
    );
    return undefined;
  });
}

async function attempt(
  pipeline: Pipeline,
  signal: AbortSignal,
  run: Run,
  row: Export | undefined,
  file: File,
): Promise<Result> {
  try {
    const stored = await pRetry(() => transferFile(pipeline, signal, run, row, file), {
      retries: quickRetries,
      minTimeout: 250,
      maxTimeout: 2000,
      randomize: true,
      signal,
      shouldRetry: ({ error }) => error instanceof UdmSyncError && error.retryable && !isSurroundings(error),
    });
    pipeline.events.emit('event', {
      kind: 'file',
      run,
      fileId: file.id,
      name: file.name,
      state: 'verified',
      bytes: stored.bytes,
    });
    return { kind: 'verified', file, stored };
  } catch (error) {
    if (signal.aborted || pipeline.draining.aborted) return { kind: 'given-back', file };
    return { kind: 'failed', file, error };
  }
}

/** The whole way of one file's bytes: GET /v10/files/{name} → 303 → GET → sink → proof. */
async function transferFile(
  pipeline: Pipeline,
  signal: AbortSignal,
  run: Run,
  row: Export | undefined,
  file: File,
): Promise<Stored> {
  const upstream = pipeline.upstream(run.tenant);
  const { sink, verify } = sinkOf(pipeline, run);
  await refuseSharedName(pipeline, run, file);
  const source = new Source(
    () => locate(upstream, file.name, signal),
    (url, options) => upstream.download(url, options),
  );
  const put = await transfer({
    source,
    sink,
    key: file.key,
    journal: journalOf(pipeline, file, run.sink),
    budget: pipeline.budget(run.tenant),
    signal,
    put: { metadata: provenance(run, row, file), contentType: 'application/octet-stream' },
    announcedSize: file.announcedSize ?? undefined,
    onProgress: (bytes, length) => {
      const total = length ?? file.announcedSize ?? undefined;
      pipeline.events.emit('event', { kind: 'bytes', run, fileId: file.id, name: file.name, bytes, total });
    },
  });
  // A body that ended early may have a Content-Length that agrees: a proxy's own page, say.
  if (file.announcedSize !== null && put.bytes < file.announcedSize)
    throw new UdmSyncError(
      'ERR_FILE_SHORT',
      `"${file.name}" has ${put.bytes} bytes; the upstream announced ${file.announcedSize}.`,
      { hint: 'It is not taken for the file, and stays upstream.', retryable: true },
    );
  if (put.resumed > 0)
    pipeline.logger.info(
      logFields(run, { file: file.name, bytes: put.bytes, resumed: put.resumed }),
      'went on where an earlier attempt had stopped',
    );
  const proof = await proveStored(sink, file.key, { bytes: put.bytes, crc32: put.crc32 }, verify, signal);
  const { bytes, crc32, sourceEtag } = put;
  return { file, bytes, crc32, etag: put.etag ?? proof.etag, sourceEtag, proof };
}

/** GET /v10/files/{name}: where the bytes are, for a few minutes. */
async function locate(upstream: UdmClient, name: string, signal: AbortSignal): Promise<PresignedUrl> {
  const url = await upstream.locateFile(name, signal);
  if (url) return url;
  throw new UdmSyncError('ERR_FILE_MISSING', `The upstream has no file "${name}".`, {
    hint: 'It may have been deleted there by somebody, or its 30 days are over.',
  });
}

/**
 * The upstream knows files by name alone. When a later export has made one of the same name, the name stands for that
 * one: what this row meant can no longer be fetched, and must not be mistaken for it.
 */
async function refuseSharedName(pipeline: Pipeline, run: Run, file: File): Promise<void> {
  const others = await sharedNames(pipeline.db, run.tenant, [file.name], file.exportId);
  const later = others.find((other) => other.exportId > file.exportId);
  if (later)
    throw new UdmSyncError(
      'ERR_NAME_SHARED',
      `Run ${later.runId} has a later file of the name "${file.name}".`,
      {
        hint: `Export this window anew with: udm-sync retry ${run.id}`,
      },
    );
}

/** Where an object came from, as its metadata says. */
function provenance(run: Run, row: Export | undefined, file: File): Record<string, string> {
  return {
    'udm-tenant': run.tenant,
    'udm-definition': run.definition,
    'udm-window-from': run.windowFrom.toISOString(),
    'udm-window-to': run.windowTo.toISOString(),
    'udm-run': String(run.id),
    ...(row?.upstreamJobId == null ? {} : { 'udm-job': row.upstreamJobId }),
    ...(row?.upstreamHistoryId == null ? {} : { 'udm-history': row.upstreamHistoryId }),
    'udm-file': file.name,
  };
}

/** Commits the results, the completion, and what comes next: the failed files again, or the run's next step. */
async function finish(
  pipeline: Pipeline,
  claim: Claim<TransferPayload>,
  results: readonly Result[],
): Promise<void> {
  const { db, queue } = pipeline;
  await transact(db, async (tx) => {
    const run = await lockRun(tx, claim.payload.runId);
    const held = new Set((await heldFiles(tx, claim.id)).map((file) => file.id));
    await queue.complete(tx, claim);
    if (!run) return;
    const now = await databaseNow(tx);
    // An operator may have taken files away meanwhile (cancel, then retry): their new batch decides about them.
    for (const result of results) if (held.has(result.file.id)) await record(pipeline, tx, run, result, now);
    if (run.state !== 'transferring') return;
    const exportId = results[0]?.file.exportId ?? (await latestExport(tx, run.id))?.id;
    const counts = exportId === undefined ? {} : await countFilesByState(tx, exportId);
    if (!counts.waiting && !counts.transferring) await queue.sendStep(tx, run);
  });
}

async function record(
  pipeline: Pipeline,
  tx: Transaction,
  run: Run,
  result: Result,
  now: Date,
): Promise<void> {
  const { who, events, logger } = pipeline;
  const { file } = result;
  if (result.kind === 'verified') {
    const { bytes, crc32, etag, sourceEtag, proof } = result.stored;
    await moveFile(tx, file, 'verified', who, `proof: ${proof.level}`, {
      size: bytes,
      crc32: crc32Text(crc32),
      etag: etag ?? null,
      sourceEtag: sourceEtag ?? null,
      proof: proof.level,
      attempts: file.attempts + 1,
      holdups: 0,
    });
    return;
  }
  if (result.kind === 'given-back') {
    await moveFile(tx, file, 'waiting', who, 'given back: the worker stops');
    if (run.state === 'transferring') await queueTransfers(pipeline, tx, run, [file], now);
    return;
  }
  const verdict = judge(pipeline, run, file, result.error, now);
  await moveFile(tx, file, verdict.state, who, verdict.reason, {
    attempts: verdict.attempts,
    holdups: verdict.holdups,
  });
  logger.warn(
    logFields(run, {
      file: file.name,
      state: verdict.state,
      attempts: verdict.attempts,
      reason: verdict.reason,
    }),
    'transfer failed',
  );
  events.emit('event', {
    kind: 'file',
    run,
    fileId: file.id,
    name: file.name,
    state: verdict.state === 'waiting' ? 'failed' : verdict.state,
    bytes: 0,
  });
  if (verdict.state === 'waiting' && run.state === 'transferring')
    await queueTransfers(pipeline, tx, run, [file], now, verdict.delayMs);
}

interface Verdict {
  readonly state: 'waiting' | 'dead' | 'lost';
  readonly attempts: number;
  readonly holdups: number;
  readonly reason: string;
  readonly delayMs: number;
}

/** What becomes of a file whose transfer failed. Failures of the surroundings use up no attempt. */
function judge(pipeline: Pipeline, run: Run, file: File, error: unknown, now: Date): Verdict {
  const retry = retryOf(pipeline, run);
  const surroundings = isSurroundings(error);
  const attempts = surroundings ? file.attempts : file.attempts + 1;
  const reason = describeError(error);
  const holdups = surroundings ? file.holdups + 1 : 0;
  const delayMs = backoff(attempts + holdups, retry, Math.random());
  const verdict = { attempts, holdups, reason, delayMs };
  const code = error instanceof UdmSyncError ? error.code : '';
  // What a name stood for is gone for good once the name stands for something else.
  if (code === 'ERR_NAME_SHARED') return { ...verdict, state: 'lost' };
  const missing = code === 'ERR_FILE_MISSING' || code === 'ERR_PRESIGNED_NOT_FOUND';
  if (missing && (now > file.expiresAt || attempts >= retry.attempts)) return { ...verdict, state: 'lost' };
  if (attempts >= retry.attempts && !surroundings) return { ...verdict, state: 'dead' };
  return { ...verdict, state: 'waiting' };
}
