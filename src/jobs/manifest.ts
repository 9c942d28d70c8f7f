import { titleOf } from './adopted.ts';
import type { Export } from '../store/exports.ts';
import type { File } from '../store/files.ts';
import type { Run } from '../store/runs.ts';
import type { DefinitionConfig } from '../config/config.ts';

/** `_manifest.json`: written last, beside a run's files. Its presence means that the window is complete. */
export interface Manifest {
  readonly version: 1;
  readonly tenant: string;
  readonly definition: string;
  readonly source: string;
  readonly type: string;
  /** UTC, half-open: `from` is included, `to` is not. */
  readonly window: { readonly from: string; readonly to: string };
  readonly run: number;
  readonly attempt: number;
  readonly upstream: {
    readonly jobId: string | null;
    readonly historyId: string | null;
    /** Null for an adopted entry, whose job is none of ours. */
    readonly marker: string | null;
  };
  /** The entry of a people's job that the files come from; its time frame is theirs, so `window` says only when. */
  readonly adopted?: { readonly title: string | null; readonly createdAt: string };
  /** What keys are relative to. */
  readonly sink: string;
  readonly files: readonly {
    readonly name: string;
    readonly key: string;
    /** Bytes. */
    readonly size: number;
    /** CRC-32 of the bytes, eight hex digits. */
    readonly crc32: string;
    readonly etag: string | null;
    readonly proof: string;
    readonly createdUpstreamAt: string | null;
    readonly verifiedAt: string;
  }[];
  readonly totals: { readonly files: number; readonly bytes: number };
  readonly writtenAt: string;
}

/** The manifest of a run whose files are all verified. Throws if one is not: an incomplete manifest would be a lie. */
export function buildManifest(
  run: Run,
  definition: DefinitionConfig,
  row: Export,
  files: readonly File[],
  sinkUri: string,
  now: Date,
): Manifest {
  const entries = files.map((file) => {
    // A file that was verified stays so when it has been deleted upstream since.
    const proven = file.state === 'verified' || file.state === 'deleted';
    if (!proven || file.size === null || file.crc32 === null || !file.proof || !file.verifiedAt)
      throw new Error(`file ${file.id} of run ${run.id} is ${file.state}, not verified`);
    return {
      name: file.name,
      key: file.key,
      size: file.size,
      crc32: file.crc32,
      etag: file.etag,
      proof: file.proof,
      createdUpstreamAt: file.createdUpstreamAt?.toISOString() ?? null,
      verifiedAt: file.verifiedAt.toISOString(),
    };
  });
  return {
    version: 1,
    tenant: run.tenant,
    definition: run.definition,
    source: definition.source,
    type: definition.type,
    window: { from: run.windowFrom.toISOString(), to: run.windowTo.toISOString() },
    run: run.id,
    attempt: run.attempt,
    upstream: {
      jobId: row.upstreamJobId,
      historyId: row.upstreamHistoryId,
      marker: run.origin === 'adopt' ? null : row.marker,
    },
    ...(run.origin === 'adopt'
      ? { adopted: { title: titleOf(row), createdAt: run.windowFrom.toISOString() } }
      : {}),
    sink: sinkUri,
    files: entries,
    totals: { files: entries.length, bytes: entries.reduce((sum, file) => sum + file.size, 0) },
    writtenAt: now.toISOString(),
  };
}
