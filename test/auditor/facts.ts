import type { Pool, QueryResultRow } from 'pg';
import { z } from 'zod';
import { readStorages } from './storage.ts';
import type { Storage, Stored } from './storage.ts';
import { readUpstreamLog } from './upstream-log.ts';
import type { UpstreamLog } from './upstream-log.ts';

/** What the auditor was told beforehand: which windows there should be, and where their files should lie. */
export interface Expectation {
  readonly tenant: string;
  readonly definition: string;
  /** What keys begin with, without a slash at its end; empty for a folder. */
  readonly prefix: string;
  /** UTC, half-open, a whole number of windows. */
  readonly from: Date;
  readonly to: Date;
  readonly lengthMs: number;
  /** What is deleted upstream in the end. Default `files`. */
  readonly delete?: 'files' | 'files-and-job' | 'nothing' | undefined;
  /** How runs may have ended. Default: `done` alone. */
  readonly outcomes?: readonly string[] | undefined;
  /** Whether the vendor's deletion may have been faster than ours. Default false. */
  readonly expiring?: boolean | undefined;
}

/** Which jobs of people a definition collects from; every entry that they made is expected. */
export type Adopted = Pick<Expectation, 'tenant' | 'definition' | 'prefix'> & {
  /** Of the jobs; compared as a whole. */
  readonly title: string;
};

/** The expectations as a file has them. */
export const expectationsSchema = z.array(
  z.strictObject({
    tenant: z.string(),
    definition: z.string(),
    prefix: z.string(),
    from: z.coerce.date(),
    to: z.coerce.date(),
    lengthMs: z.number().positive(),
    delete: z.enum(['files', 'files-and-job', 'nothing']).optional(),
    outcomes: z.array(z.string()).optional(),
    expiring: z.boolean().optional(),
  }),
);

/** What Postgres had committed about a file at the moment a DELETE that concerns it was on its way. */
export const testimonySchema = z.object({
  /** Undecoded, with its query. */
  path: z.string(),
  files: z.array(
    z.object({
      /** As the request, or the job or history entry it names, has it. */
      name: z.string(),
      /** Absent: Postgres knew no such file. */
      state: z.string().optional(),
      verified: z.boolean(),
    }),
  ),
});
export type Testimony = z.infer<typeof testimonySchema>;

export interface RunRow {
  readonly id: number;
  readonly definition: string;
  readonly windowFrom: Date;
  readonly windowTo: Date;
  /** Of a people's job; null for windows of ours. */
  readonly entry: string | null;
  readonly state: string;
}
export interface ExportRow {
  readonly id: number;
  readonly runId: number;
  readonly attempt: number;
  readonly state: string;
  readonly marker: string;
  readonly jobId: string | null;
  readonly historyId: string | null;
}
export interface FileRow {
  readonly id: number;
  readonly runId: number;
  readonly exportId: number;
  readonly name: string;
  readonly key: string;
  readonly state: string;
  readonly size: number | null;
  readonly crc32: string | null;
  readonly verifiedAt: Date | null;
  readonly deletedAt: Date | null;
}
export interface HistoryRow {
  readonly id: number;
  readonly runId: number;
  readonly fileId: number | null;
  readonly subject: string;
  readonly fromState: string | null;
  readonly toState: string;
  readonly reason: string | null;
  /** When its transaction was committed; null where Postgres does not keep that (track_commit_timestamp). */
  readonly committedAt: Date | null;
}
/** A run, or a transfer of one, that waits or is under way in the queue. */
export interface QueueRow {
  readonly runId: number;
}
export interface UploadRow {
  readonly runId: number;
  readonly fileId: number;
}

/** All that the auditor judges by: plain data, so that a planted fault is one changed value. */
export interface Facts extends UpstreamLog, Stored {
  readonly expected: readonly Expectation[];
  readonly adopted: readonly Adopted[];
  /** Undefined: nobody stood between. */
  readonly testimonies: Testimony[] | undefined;
  readonly runs: RunRow[];
  readonly exports: ExportRow[];
  readonly files: FileRow[];
  readonly history: HistoryRow[];
  readonly queue: QueueRow[];
  readonly uploads: UploadRow[];
}

export interface Sources {
  /** The upstream's own log. */
  readonly log: string;
  readonly storages: readonly Storage[];
  readonly database: Pool;
  readonly testimonies?: readonly Testimony[] | undefined;
  readonly expected: readonly Expectation[];
  readonly adopted?: readonly Adopted[];
}

/** Reads everything from outside: the upstream's own log, the stored bytes, and Postgres by plain SQL. */
export async function collectFacts(sources: Sources): Promise<Facts> {
  const { database, expected, adopted = [], testimonies } = sources;
  const rows = async <Row>(sql: string) => (await database.query<Row & QueryResultRow>(sql)).rows as Row[];
  const [{ on }] = (await rows<{ on: boolean }>(
    `select current_setting('track_commit_timestamp')::boolean as on`,
  )) as [{ on: boolean }];
  return {
    expected,
    adopted,
    testimonies: testimonies && [...testimonies],
    ...(await readUpstreamLog(sources.log)),
    ...(await readStorages(sources.storages)),
    runs: await rows<RunRow>(
      `select id::int, definition, window_from as "windowFrom", window_to as "windowTo",
         adopted_entry as entry, state
       from udm_sync.runs order by id`,
    ),
    exports: await rows<ExportRow>(
      `select id::int, run_id::int as "runId", attempt, state, marker, upstream_job_id as "jobId",
         upstream_history_id as "historyId" from udm_sync.exports order by id`,
    ),
    files: await rows<FileRow>(
      `select id::int, run_id::int as "runId", export_id::int as "exportId", name, key, state, size::float8, crc32,
         verified_at as "verifiedAt", deleted_at as "deletedAt" from udm_sync.files order by id`,
    ),
    // A line is never changed, so the transaction that made it is the one that committed what it says.
    history: await rows<HistoryRow>(
      `select id::int, run_id::int as "runId", file_id::int as "fileId", subject, from_state as "fromState",
         to_state as "toState", reason, ${on ? 'pg_xact_commit_timestamp(xmin)' : 'null::timestamptz'} as "committedAt"
       from udm_sync.history order by id`,
    ),
    queue: await rows<QueueRow>(
      `select (data->>'runId')::int as "runId" from udm_sync_queue.job
       where name in ('step', 'transfer', 'transfer-small') and state < 'completed'`,
    ),
    uploads: await rows<UploadRow>(
      `select f.run_id::int as "runId", f.id::int as "fileId"
       from udm_sync.uploads u join udm_sync.files f on f.id = u.file_id order by f.id`,
    ),
  };
}
