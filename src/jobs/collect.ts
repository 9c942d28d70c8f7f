import { compileKeyTemplate, manifestKey } from '../config/key-template.ts';
import type { KeyVariables } from '../config/key-template.ts';
import { UdmSyncError } from '../errors.ts';
import type { Claim, StepPayload } from '../queue/queue.ts';
import { databaseNow } from '../store/database.ts';
import type { Transaction } from '../store/database.ts';
import { latestExport, patchExport } from '../store/exports.ts';
import type { Export } from '../store/exports.ts';
import { insertFiles } from '../store/files.ts';
import type { File } from '../store/files.ts';
import { otherRunAt, patchRun } from '../store/runs.ts';
import type { Run } from '../store/runs.ts';
import type { FileMetadata } from '../udm/types.ts';
import { intoBatches, priorityOf } from './batches.ts';
import { filesAreGone, retentionMs } from './adopted.ts';
import { definitionOf } from './context.ts';
import type { Pipeline } from './context.ts';
import { settleStep } from './settle.ts';

/**
 * The step of a `collecting` run: lists the files of the completed export and queues their transfers.
 *
 * An export without files is believed only when a second listing, `worker.collectSettle` later, says the same.
 */
export async function collectFiles(pipeline: Pipeline, claim: Claim<StepPayload>, run: Run): Promise<void> {
  const row = await completedExport(pipeline, run);
  const listed = await listExportFiles(pipeline, run, row, claim.signal);
  if (listed.length === 0 && row.listings < 1) {
    await settleStep(pipeline, claim, run, {
      reason: 'the export names no files yet; looking once more',
      nextMs: pipeline.config.worker.collectSettleMs,
      also: (tx) => patchExport(tx, row.id, { listings: row.listings + 1 }),
    });
    return;
  }
  const now = await databaseNow(pipeline.db);
  if (listed.length === 0 && filesAreGone(run, now)) {
    const reason = 'nothing to collect: the entry names no files, and the vendor deletes them after 30 days';
    await settleStep(pipeline, claim, run, { to: 'failed', reason });
    return;
  }
  const manifest = manifestKeyOf(pipeline, run);
  const other = await otherRunAt(pipeline.db, run.sink, manifest, run.id);
  if (other)
    throw new UdmSyncError(
      'ERR_KEY_TAKEN',
      `Run ${other.id} has its files in the folder of ${manifest} already.`,
      {
        hint: `Make the key template of ${run.definition} as fine as its windows, then: udm-sync retry ${run.id}`,
      },
    );
  await settleStep(pipeline, claim, run, {
    to: 'transferring',
    // With transfers queued, the last of them queues the next step.
    ...(listed.length === 0 ? { nextMs: 0 } : {}),
    also: async (tx) => {
      await patchExport(tx, row.id, { listings: row.listings + 1 });
      await patchRun(tx, run.id, { manifestKey: manifest, sinkUri: pipeline.sink(run.sink).sink.uri });
      await addFiles(pipeline, tx, run, row, listed, now);
    },
  });
}

export async function completedExport(
  pipeline: Pipeline,
  run: Run,
): Promise<Export & { upstreamHistoryId: string }> {
  const row = await latestExport(pipeline.db, run.id);
  if (row?.state !== 'completed' || row.upstreamHistoryId === null)
    throw new UdmSyncError(
      'ERR_STATE',
      `Run ${run.id} is ${run.state} but its export is ${row?.state ?? 'missing'}.`,
    );
  return { ...row, upstreamHistoryId: row.upstreamHistoryId };
}

/** GET /v10/file-metadatas of the export's history entry, all pages; the entry's own fileName where that is empty. */
export async function listExportFiles(
  pipeline: Pipeline,
  run: Run,
  row: Export & { upstreamHistoryId: string },
  signal: AbortSignal,
): Promise<FileMetadata[]> {
  const upstream = pipeline.upstream(run.tenant);
  const byName = new Map<string, FileMetadata>();
  for await (const file of upstream.listFileMetadatas({ historyId: row.upstreamHistoryId }, signal)) {
    // The upstream's filters are loose; only what is not said to belong elsewhere is ours.
    const elsewhere = file.historyId !== undefined && file.historyId !== row.upstreamHistoryId;
    if (!elsewhere) byName.set(file.name, file);
  }
  if (byName.size === 0) {
    const entry = await upstream.getHistory(row.upstreamHistoryId, signal);
    for (const name of (entry?.fileName ?? '').split(',').map((part) => part.trim())) {
      if (name !== '')
        byName.set(name, { name, ...(entry?.createdDate ? { createdDate: entry.createdDate } : {}) });
    }
  }
  return [...byName.values()];
}

/** Adds the files that are new, with their final keys, and queues transfers for them. */
export async function addFiles(
  pipeline: Pipeline,
  tx: Transaction,
  run: Run,
  row: Export,
  listed: readonly FileMetadata[],
  now: Date,
): Promise<File[]> {
  const template = compileKeyTemplate(definitionOf(pipeline, run).key);
  const added = await insertFiles(
    tx,
    listed.map((file) => ({
      runId: run.id,
      exportId: row.id,
      tenant: run.tenant,
      name: file.name,
      key: template.render({ ...keyVariables(pipeline, run), file: file.name }),
      announcedSize: file.size ?? null,
      createdUpstreamAt: file.createdDate ?? null,
      expiresAt: new Date(madeAt(run, row, file, now).getTime() + retentionMs),
    })),
    pipeline.who,
  );
  await queueTransfers(pipeline, tx, run, added, now);
  return added;
}

/** When a file was made, at the latest that is certain: its 30 days begin then. */
function madeAt(run: Run, row: Export, file: FileMetadata, now: Date): Date {
  // An adopted entry may have ended long before it was found.
  const ended = run.origin === 'adopt' ? run.windowFrom : row.finishedAt;
  return file.createdDate ?? ended ?? now;
}

/** Queues transfers for files that wait, in batches, soonest to expire first. */
export async function queueTransfers(
  pipeline: Pipeline,
  tx: Transaction,
  run: Run,
  files: readonly Pick<File, 'id' | 'announcedSize' | 'expiresAt'>[],
  now: Date,
  afterMs = 0,
): Promise<void> {
  const expiry = new Map(files.map((file) => [file.id, file.expiresAt]));
  const batches = intoBatches(
    files.map(({ id, announcedSize }) => ({ id, size: announcedSize ?? undefined })),
  );
  for (const fileIds of batches) {
    const soonest = Math.min(...fileIds.map((id) => (expiry.get(id) ?? now).getTime()));
    await pipeline.queue.sendTransfer(
      tx,
      { runId: run.id, tenant: run.tenant, fileIds },
      { priority: priorityOf(new Date(soonest), now), afterMs },
    );
  }
}

/** Where the manifest of a run lies. */
export function manifestKeyOf(pipeline: Pipeline, run: Run): string {
  return manifestKey(compileKeyTemplate(definitionOf(pipeline, run).key), keyVariables(pipeline, run));
}

function keyVariables(pipeline: Pipeline, run: Run): Omit<KeyVariables, 'file'> {
  const { name, source, type } = definitionOf(pipeline, run);
  return {
    tenant: run.tenant,
    definition: name,
    source,
    type,
    from: run.windowFrom,
    to: run.windowTo,
    run: String(run.id),
    ...(run.adoptedEntry === null ? {} : { entry: run.adoptedEntry }),
  };
}
