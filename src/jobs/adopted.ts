import { z } from 'zod';
import type { DeletePolicy } from '../config/config.ts';
import { UdmSyncError } from '../errors.ts';
import type { Export } from '../store/exports.ts';
import { filesOfExport } from '../store/files.ts';
import type { File } from '../store/files.ts';
import type { Run } from '../store/runs.ts';
import type { FileMetadata } from '../udm/types.ts';
import type { Pipeline } from './context.ts';

/** What is different for a run whose export people's job has made. */

/** What may be deleted upstream: the job never, if it is not ours, whatever the config says of it today. */
export function deletionOf(run: Pick<Run, 'origin'>, policy: DeletePolicy): DeletePolicy {
  return run.origin === 'adopt' && policy === 'files-and-job' ? 'files' : policy;
}

const noted = z.object({ title: z.string().optional() });

/** The title that the upstream showed when the entry was adopted. */
export function titleOf(row: Pick<Export, 'request'>): string | null {
  return noted.safeParse(row.request).data?.title ?? null;
}

/**
 * The upstream knows files by name alone, and people's jobs may write the same names each time. A name that stands for
 * another entry's file by now, one we may never have heard of, is neither taken for ours nor deleted as ours.
 *
 * GET /v10/file-metadatas, once for each name that is still upstream.
 *
 * @throws UdmSyncError `ERR_NAME_SHARED`
 */
export async function refuseReplaced(
  pipeline: Pipeline,
  run: Run,
  row: Export & { upstreamHistoryId: string },
  signal: AbortSignal,
): Promise<void> {
  const upstream = pipeline.upstream(run.tenant);
  const known = await filesOfExport(pipeline.db, row.id);
  for (const file of known.filter(({ state }) => state === 'verified')) {
    for await (const now of upstream.listFileMetadatas({ name: file.name }, signal)) {
      if (now.name !== file.name || now.historyId === undefined) continue;
      if (now.historyId !== row.upstreamHistoryId)
        throw replaced(file.name, `is also that of a file of history entry ${now.historyId}`);
      if (wasMadeAnew(run, file, now)) throw replaced(file.name, 'was made anew');
    }
  }
}

function wasMadeAnew(run: Run, { createdUpstreamAt }: File, now: FileMetadata): boolean {
  // The date of the entry stands for that of a file whose own was not listed yet.
  if (!createdUpstreamAt || !now.createdDate || createdUpstreamAt.getTime() === run.windowFrom.getTime())
    return false;
  return now.createdDate.getTime() !== createdUpstreamAt.getTime();
}

function replaced(name: string, what: string): UdmSyncError {
  return new UdmSyncError('ERR_NAME_SHARED', `The name "${name}" ${what}; upstream, a name is one file.`, {
    hint: 'Let the job write names of their own, or let files be deleted before it runs again; nothing was deleted.',
    retryable: true,
  });
}
