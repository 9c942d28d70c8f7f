import pRetry from 'p-retry';
import { UdmSyncError } from '../errors.ts';
import { proveStored } from '../sinks/verify.ts';
import type { Proof } from '../sinks/verify.ts';
import { latestExport } from '../store/exports.ts';
import type { Export } from '../store/exports.ts';
import { sharedNames } from '../store/files.ts';
import type { File } from '../store/files.ts';
import type { Run } from '../store/runs.ts';
import { filesWithUploads } from '../store/uploads.ts';
import { Source } from '../transfer/source.ts';
import { transfer } from '../transfer/transfer.ts';
import type { PresignedUrl, UdmClient } from '../udm/types.ts';
import { sinkOf } from './context.ts';
import type { Pipeline } from './context.ts';
import { journalOf } from './journal.ts';
import { isSurroundings, logFields } from './settle.ts';

/** A broken connection is tried again at once, before it counts as an attempt of the file. */
const quickRetries = 2;

/** A file in the sink, with the proof. */
export interface Stored {
  readonly file: File;
  readonly bytes: number;
  readonly crc32: number;
  readonly etag: string | undefined;
  readonly sourceEtag: string | undefined;
  readonly proof: Proof;
}

/** What the files of a batch have in common, looked up for all of them at once. */
export interface Batch {
  readonly run: Run;
  readonly export: Export | undefined;
  readonly signal: AbortSignal;
  readonly lane: 'small' | 'large';
  /** Later runs that have a file of the same name, by name. */
  readonly taken: ReadonlyMap<string, { readonly runId: number; readonly exportId: number }>;
  readonly urls: ReadonlyMap<string, PresignedUrl>;
  readonly withUploads: ReadonlySet<number>;
}

/** Looks up what the transfers of a batch need, in a few round trips for all of its files. */
export async function prepareBatch(
  pipeline: Pipeline,
  run: Run,
  files: readonly File[],
  lane: Batch['lane'],
  signal: AbortSignal,
): Promise<Batch> {
  const { db } = pipeline;
  const names = files.map((file) => file.name);
  const taken = new Map<string, { runId: number; exportId: number }>();
  const exportIds = [...new Set(files.map((file) => file.exportId))];
  for (const exportId of exportIds)
    for (const other of await sharedNames(db, run.tenant, names, exportId))
      if (other.exportId > (taken.get(other.name)?.exportId ?? 0)) taken.set(other.name, other);
  const ids = files.map((file) => file.id);
  return {
    run,
    export: await latestExport(db, run.id),
    signal,
    lane,
    taken,
    urls: files.length > 1 ? await presign(pipeline, run, names, signal) : new Map(),
    withUploads: await filesWithUploads(db, ids),
  };
}

/** GET /v10/files?filename=…: one call for all. Whatever it does not give is asked for file by file. */
async function presign(
  pipeline: Pipeline,
  run: Run,
  names: readonly string[],
  signal: AbortSignal,
): Promise<ReadonlyMap<string, PresignedUrl>> {
  try {
    return (await pipeline.upstream(run.tenant).presignFiles(names, signal)).urls;
  } catch (error) {
    signal.throwIfAborted();
    const code = error instanceof UdmSyncError ? error.code : undefined;
    pipeline.logger.debug(logFields(run, { code }), 'no list of URLs; each file is asked for by itself');
    return new Map();
  }
}

/** Copies one file, and tries again at once where a connection broke. */
export function transferFile(pipeline: Pipeline, batch: Batch, file: File): Promise<Stored> {
  return pRetry((attempt) => once(pipeline, batch, file, attempt), {
    retries: quickRetries,
    minTimeout: 250,
    maxTimeout: 2000,
    randomize: true,
    signal: batch.signal,
    shouldRetry: ({ error }) => error instanceof UdmSyncError && error.retryable && !isSurroundings(error),
  });
}

/** The whole way of one file's bytes: GET /v10/files/{name} → 303 → GET → sink → proof. */
async function once(pipeline: Pipeline, batch: Batch, file: File, attempt: number): Promise<Stored> {
  const { run, signal } = batch;
  refuseSharedName(batch, file);
  const upstream = pipeline.upstream(run.tenant);
  const { sink, verify } = sinkOf(pipeline, run);
  const source = new Source(
    () => locate(upstream, file.name, signal),
    (url, options) => upstream.download(url, options),
    attempt === 1 ? batch.urls.get(file.name) : undefined,
  );
  const put = await transfer({
    source,
    sink,
    key: file.key,
    journal: journalOf(pipeline, file, run.sink, attempt === 1 && !batch.withUploads.has(file.id)),
    memory: pipeline.memory(run.tenant)[batch.lane],
    pace: pipeline.pace(run.tenant),
    bandwidth: pipeline.bandwidth,
    signal,
    put: { metadata: provenance(batch, file), contentType: 'application/octet-stream' },
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
      `${JSON.stringify(file.name)} has ${put.bytes} bytes; the upstream announced ${file.announcedSize}.`,
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
  const url = await upstream.locateFile(name, signal).catch(async (error: unknown) => {
    // A list carries names that a path cannot: it is asked for as a list of one.
    if (!(error instanceof UdmSyncError && error.code === 'ERR_UDM_NAME')) throw error;
    return (await upstream.presignFiles([name], signal)).urls.get(name);
  });
  if (url) return url;
  throw new UdmSyncError('ERR_FILE_MISSING', `The upstream has no file ${JSON.stringify(name)}.`, {
    hint: 'It may have been deleted there by somebody, or its 30 days are over.',
  });
}

/**
 * The upstream knows files by name alone. When a later export has made one of the same name, the name stands for that
 * one: what this row meant can no longer be fetched, and must not be mistaken for it.
 */
function refuseSharedName({ run, taken }: Batch, file: File): void {
  const later = taken.get(file.name);
  if (later && later.exportId > file.exportId)
    throw new UdmSyncError(
      'ERR_NAME_SHARED',
      `Run ${later.runId} has a later file of the name ${JSON.stringify(file.name)}.`,
      {
        hint: `Export this window anew with: udm-sync retry ${run.id}`,
      },
    );
}

/** Where an object came from, as its metadata says. */
function provenance({ run, export: row }: Batch, file: File): Record<string, string> {
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
