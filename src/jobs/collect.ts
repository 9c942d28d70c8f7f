import { compileKeyTemplate, manifestKey } from '../config/key-template.ts';
import type { KeyVariables } from '../config/key-template.ts';
import { UdmSyncError } from '../errors.ts';
import type { Claim, StepPayload } from '../queue/queue.ts';
import { databaseNow } from '../store/database.ts';
import type { Transaction } from '../store/database.ts';
import { latestExport, moveExport, patchExport } from '../store/exports.ts';
import type { Export } from '../store/exports.ts';
import { insertFiles } from '../store/files.ts';
import type { File } from '../store/files.ts';
import { otherRunAt, patchRun } from '../store/runs.ts';
import type { Run } from '../store/runs.ts';
import type { FileMetadata } from '../udm/types.ts';
import { intoBatches, priorityOf } from './batches.ts';
import { definitionOf } from './context.ts';
import type { Pipeline } from './context.ts';
import { logFileMoves } from './moves.ts';
import { settleStep } from './settle.ts';

/**
 * The step of a `collecting` run: lists the files of the completed export and queues their transfers.
 *
 * An export without files is believed only when a second listing, `worker.collectSettle` later, says the same, and
 * only while the upstream would still have the files if there were any: else they were lost, which is for an operator.
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
  if (listed.length === 0 && !run.cancelRequestedAt) {
    const reason = await whyNothingIsLeft(pipeline, run, row, now, claim.signal);
    if (reason !== undefined) {
      await settleStep(pipeline, claim, run, {
        to: 'failed',
        reason,
        also: async (tx) => {
          // People's entry stays what it was: it cannot be exported anew.
          if (run.origin !== 'adopt') await moveExport(tx, row, 'vanished', pipeline.who, reason);
        },
      });
      return;
    }
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

/** Why an export that lists no files may have had some; undefined if it is simply empty. GET /v10/export/history/{id}. */
async function whyNothingIsLeft(
  pipeline: Pipeline,
  run: Run,
  row: Export & { upstreamHistoryId: string },
  now: Date,
  signal: AbortSignal,
): Promise<string | undefined> {
  const remedy =
    run.origin === 'adopt'
      ? 'nothing to collect: what it made was lost before it was adopted'
      : `what it made was lost before it was copied; export the window anew with: udm-sync retry ${run.id}`;
  const entry = await pipeline.upstream(run.tenant).getHistory(row.upstreamHistoryId, signal);
  if (!entry) return `the upstream no longer has the history entry of this completed export: ${remedy}`;
  const madeAt = entry.createdDate ?? endOf(run, row) ?? now;
  return now.getTime() > madeAt.getTime() + pipeline.config.retention.keepForMs
    ? `the export is from ${madeAt.toISOString()} and lists no files any more: ${remedy}`
    : undefined;
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
  const { keepForMs } = pipeline.config.retention;
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
      expiresAt: new Date(madeAt(run, row, file, now).getTime() + keepForMs),
    })),
    pipeline.who,
  );
  await queueTransfers(pipeline, tx, run, added, now);
  logFileMoves(pipeline.logger, run, added, { to: 'waiting' });
  return added;
}

/** When the export had ended, as far as we know. An adopted entry may have ended long before it was found. */
function endOf(run: Run, row: Export): Date | null {
  return run.origin === 'adopt' ? run.windowFrom : row.finishedAt;
}

/** When a file was made, at the latest that is certain: its 30 days begin then. */
function madeAt(run: Run, row: Export, file: FileMetadata, now: Date): Date {
  const made = file.createdDate ?? endOf(run, row) ?? now;
  // A file that claims to be from the future would never be spoken of.
  return made < now ? made : now;
}

/** Queues transfers for files that wait, in batches, soonest to expire first. */
export async function queueTransfers(
  pipeline: Pipeline,
  tx: Transaction,
  run: Run,
  files: readonly Pick<File, 'id' | 'announcedSize' | 'expiresAt'>[],
  now: Date,
  afterMs = 0,
  deaths = 0,
): Promise<void> {
  const expiry = new Map(files.map((file) => [file.id, file.expiresAt]));
  const batches = intoBatches(
    files.map(({ id, announcedSize }) => ({ id, size: announcedSize ?? undefined })),
  );
  for (const { fileIds, small } of batches) {
    const soonest = Math.min(...fileIds.map((id) => (expiry.get(id) ?? now).getTime()));
    await pipeline.queue.sendTransfer(
      tx,
      small ? 'transfer-small' : 'transfer',
      { runId: run.id, tenant: run.tenant, fileIds, ...(deaths > 0 ? { deaths } : {}) },
      { priority: priorityOf(new Date(soonest)), afterMs },
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
