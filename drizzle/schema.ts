/**
 * The tables of udm-sync, in the Postgres schema `udm_sync`.
 *
 * Every table and column also carries a COMMENT in the database (migrations/), because people read the state with
 * plain SQL. Times are timestamptz, sizes are bigint bytes, states are text with a CHECK.
 */
import { sql } from 'drizzle-orm';
import {
  bigint,
  bigserial,
  check,
  index,
  integer,
  jsonb,
  pgSchema,
  primaryKey,
  text,
  timestamp,
  uniqueIndex,
} from 'drizzle-orm/pg-core';

export const udmSync = pgSchema('udm_sync');

export const runStates = [
  'planned', // waits for its turn; no upstream job of ours is live
  'creating', // the intent is committed; whether the upstream job exists is being established
  'exporting', // the upstream job is known and polled
  'cancelling', // the upstream job is being cancelled, and its end awaited
  'collecting', // the export is complete; its files are being listed
  'transferring', // files are being copied and verified
  'stored', // every file is verified, the manifest is written; upstream clean-up is under way
  'done',
  'failed', // gave up after bounded attempts, or a file is dead or lost; `retry` revives it
  'cancelled',
] as const;
export type RunState = (typeof runStates)[number];

export const exportStates = ['intended', 'created', 'completed', 'failed', 'cancelled', 'vanished'] as const;
export type ExportState = (typeof exportStates)[number];

export const fileStates = ['waiting', 'transferring', 'verified', 'deleted', 'dead', 'lost'] as const;
export type FileState = (typeof fileStates)[number];

export const runOrigins = ['schedule', 'backfill', 'adopt'] as const;
export type RunOrigin = (typeof runOrigins)[number];

/** How near the end of its time upstream a file is that is not safe yet. */
export const expiryLevels = ['warning', 'critical'] as const;
export type ExpiryLevel = (typeof expiryLevels)[number];

export const proofLevels = ['size', 'checksum', 'read'] as const;

const instant = (name: string) => timestamp(name, { withTimezone: true, mode: 'date', precision: 3 });
const bytes = (name: string) => bigint(name, { mode: 'number' });
const oneOf = (column: string, words: readonly string[]) =>
  sql.raw(`${column} in (${words.map((word) => `'${word}'`).join(', ')})`);

/** One row for each window of a definition, or for each history entry that a definition adopts. */
export const runs = udmSync.table(
  'runs',
  {
    id: bigserial('id', { mode: 'number' }).primaryKey(),
    definition: text('definition').notNull(),
    tenant: text('tenant').notNull(),
    sink: text('sink').notNull(),
    windowFrom: instant('window_from').notNull(),
    windowTo: instant('window_to').notNull(),
    origin: text('origin', { enum: runOrigins }).notNull(),
    adoptedEntry: text('adopted_entry'),
    state: text('state', { enum: runStates }).notNull().default('planned'),
    attempt: integer('attempt').notNull().default(0),
    failures: integer('failures').notNull().default(0),
    stepFailures: integer('step_failures').notNull().default(0),
    stepFaults: integer('step_faults').notNull().default(0),
    reason: text('reason'),
    sinkUri: text('sink_uri'),
    manifestKey: text('manifest_key'),
    cancelRequestedAt: instant('cancel_requested_at'),
    nextStepAt: instant('next_step_at'),
    createdAt: instant('created_at').notNull().defaultNow(),
    updatedAt: instant('updated_at').notNull().defaultNow(),
    finishedAt: instant('finished_at'),
    prunedAt: instant('pruned_at'),
  },
  (t) => [
    // Two runs never share a folder in the sink.
    uniqueIndex('runs_manifest').on(t.sink, t.manifestKey),
    // Entries of people's jobs may be as old as each other; windows of ours never are.
    uniqueIndex('runs_definition_window')
      .on(t.definition, t.windowFrom)
      .where(sql`origin <> 'adopt'`),
    // No history entry is collected twice, by whichever definition and replica.
    uniqueIndex('runs_adopted_entry')
      .on(t.tenant, t.adoptedEntry)
      .where(sql`adopted_entry is not null`),
    index('runs_definition_window_from').on(t.definition, t.windowFrom),
    // What windows cover, from the index alone.
    index('runs_coverage')
      .on(t.definition, t.windowFrom, t.windowTo)
      .where(sql`origin <> 'adopt'`),
    // Both ends of the stretch that a schedule has planned, however much was backfilled besides.
    index('runs_scheduled')
      .on(t.definition, t.windowFrom, t.windowTo)
      .where(sql`origin = 'schedule'`),
    // Counts by state, the few that are in a rare state, and how far a definition is done.
    index('runs_state').on(t.state, t.definition, t.windowTo),
    index('runs_last_success')
      .on(t.definition, t.finishedAt)
      .where(sql`state = 'done'`),
    index('runs_window').on(t.windowFrom, t.id),
    index('runs_unpruned')
      .on(t.finishedAt, t.id)
      .where(sql`state in ('done', 'cancelled') and pruned_at is null`),
    check('runs_window', sql`window_from < window_to`),
    check('runs_state', oneOf('state', runStates)),
    check('runs_origin', oneOf('origin', runOrigins)),
    check('runs_adopted', sql`(origin = 'adopt') = (adopted_entry is not null)`),
    // People's jobs are people's: in these states a job would be created, followed or cancelled.
    check(
      'runs_adopted_makes_no_job',
      sql`origin <> 'adopt' or state not in ('planned', 'creating', 'exporting', 'cancelling')`,
    ),
  ],
);

/** One row for each definition with a schedule: when it last fired, so that a missed tick is noticed. */
export const schedules = udmSync.table('schedules', {
  definition: text('definition').primaryKey(),
  cron: text('cron').notNull(),
  timeZone: text('time_zone').notNull(),
  lastTickAt: instant('last_tick_at').notNull(),
  nextTickAt: instant('next_tick_at').notNull(),
});

/** One row for each definition that adopts: when it looked at the upstream's history, and what it saw there. */
export const adoptions = udmSync.table('adoptions', {
  definition: text('definition').primaryKey(),
  since: instant('since').notNull(),
  lastLookAt: instant('last_look_at'),
  nextLookAt: instant('next_look_at').notNull(),
  matched: integer('matched').notNull().default(0),
  inProgress: integer('in_progress').notNull().default(0),
  waiting: integer('waiting').notNull().default(0),
  reason: text('reason'),
});

/** One row for each upstream export job we asked for, or meant to ask for. */
export const exports = udmSync.table(
  'exports',
  {
    id: bigserial('id', { mode: 'number' }).primaryKey(),
    runId: bigint('run_id', { mode: 'number' })
      .notNull()
      .references(() => runs.id, { onDelete: 'cascade' }),
    tenant: text('tenant').notNull(),
    attempt: integer('attempt').notNull(),
    marker: text('marker').notNull().unique(),
    state: text('state', { enum: exportStates }).notNull().default('intended'),
    request: jsonb('request').notNull(),
    upstreamJobId: text('upstream_job_id'),
    upstreamHistoryId: text('upstream_history_id'),
    statusWord: text('status_word'),
    progress: integer('progress'),
    createTries: integer('create_tries').notNull().default(0),
    createSentAt: instant('create_sent_at'),
    polls: integer('polls').notNull().default(0),
    absentPolls: integer('absent_polls').notNull().default(0),
    absentSince: instant('absent_since'),
    listings: integer('listings').notNull().default(0),
    reason: text('reason'),
    intendedAt: instant('intended_at').notNull().defaultNow(),
    createdAt: instant('created_at'),
    lastPolledAt: instant('last_polled_at'),
    finishedAt: instant('finished_at'),
  },
  (t) => [
    // One window never has two live jobs: the database refuses the second intent.
    uniqueIndex('exports_one_live_per_run')
      .on(t.runId)
      .where(sql`state in ('intended', 'created')`),
    uniqueIndex('exports_run_attempt').on(t.runId, t.attempt),
    index('exports_tenant_history').on(t.tenant, t.upstreamHistoryId),
    index('exports_tenant_job').on(t.tenant, t.upstreamJobId),
    index('exports_live_by_tenant')
      .on(t.tenant)
      .where(sql`state in ('intended', 'created')`),
    check('exports_state', oneOf('state', exportStates)),
  ],
);

/** One row for each file ("artifact") of a completed export. */
export const files = udmSync.table(
  'files',
  {
    id: bigserial('id', { mode: 'number' }).primaryKey(),
    runId: bigint('run_id', { mode: 'number' })
      .notNull()
      .references(() => runs.id, { onDelete: 'cascade' }),
    exportId: bigint('export_id', { mode: 'number' })
      .notNull()
      .references(() => exports.id, { onDelete: 'cascade' }),
    tenant: text('tenant').notNull(),
    name: text('name').notNull(),
    key: text('key').notNull(),
    state: text('state', { enum: fileStates }).notNull().default('waiting'),
    announcedSize: bytes('announced_size'),
    size: bytes('size'),
    crc32: text('crc32'),
    etag: text('etag'),
    sourceEtag: text('source_etag'),
    proof: text('proof', { enum: proofLevels }),
    attempts: integer('attempts').notNull().default(0),
    holdups: integer('holdups').notNull().default(0),
    claim: text('claim'),
    reason: text('reason'),
    createdUpstreamAt: instant('created_upstream_at'),
    expiresAt: instant('expires_at').notNull(),
    expiryRaised: text('expiry_raised', { enum: expiryLevels }),
    foundAt: instant('found_at').notNull().defaultNow(),
    transferStartedAt: instant('transfer_started_at'),
    verifiedAt: instant('verified_at'),
    deletedAt: instant('deleted_at'),
  },
  (t) => [
    uniqueIndex('files_export_name').on(t.exportId, t.name),
    // In pages, for reports: a run may have a hundred thousand.
    index('files_run').on(t.runId, t.id),
    index('files_tenant_name').on(t.tenant, t.name),
    index('files_claim')
      .on(t.claim)
      .where(sql`claim is not null`),
    index('files_transferring')
      .on(t.tenant)
      .where(sql`state = 'transferring'`),
    index('files_expiring')
      .on(t.expiresAt)
      .where(sql`state in ('waiting', 'transferring', 'dead')`),
    // For the status page: bytes stored in a stretch of time, read from the index alone.
    index('files_verified')
      .on(t.verifiedAt, t.size)
      .where(sql`verified_at is not null`),
    // For its search: the beginning of a name, whatever the database's collation.
    index('files_name').on(t.name.op('text_pattern_ops')),
    index('files_unsafe')
      .on(t.runId, t.state)
      .where(sql`state in ('waiting', 'transferring', 'dead', 'lost')`),
    check('files_state', oneOf('state', fileStates)),
    check('files_proof', oneOf('proof', proofLevels)),
    check('files_expiry_raised', oneOf('expiry_raised', expiryLevels)),
    // The promise, as the database sees it: nothing counts as deleted that was not proven first.
    check(
      'files_verified_is_proven',
      sql`state not in ('verified', 'deleted') or (verified_at is not null and size is not null and crc32 is not null and proof is not null)`,
    ),
    check(
      'files_deleted_after_verified',
      sql`deleted_at is null or (verified_at is not null and verified_at <= deleted_at)`,
    ),
  ],
);

/** One row for each unfinished upload in parts: what a worker needs to go on where another died. */
export const uploads = udmSync.table('uploads', {
  id: bigserial('id', { mode: 'number' }).primaryKey(),
  fileId: bigint('file_id', { mode: 'number' })
    .notNull()
    .unique()
    .references(() => files.id, { onDelete: 'cascade' }),
  sink: text('sink').notNull(),
  upload: jsonb('upload').notNull(),
  partSize: bytes('part_size').notNull(),
  length: bytes('length').notNull(),
  sourceEtag: text('source_etag').notNull(),
  begunAt: instant('begun_at').notNull().defaultNow(),
});

/** One row for each part that the store has acknowledged. */
export const parts = udmSync.table(
  'parts',
  {
    uploadId: bigint('upload_id', { mode: 'number' })
      .notNull()
      .references(() => uploads.id, { onDelete: 'cascade' }),
    number: integer('number').notNull(),
    size: bytes('size').notNull(),
    etag: text('etag').notNull(),
    crc32: text('crc32').notNull(),
  },
  (t) => [primaryKey({ columns: [t.uploadId, t.number] })],
);

/** Every transition, appended and never changed: who, when, from, to, why. */
export const history = udmSync.table(
  'history',
  {
    id: bigserial('id', { mode: 'number' }).primaryKey(),
    at: instant('at')
      .notNull()
      .default(sql`clock_timestamp()`),
    runId: bigint('run_id', { mode: 'number' })
      .notNull()
      .references(() => runs.id, { onDelete: 'cascade' }),
    fileId: bigint('file_id', { mode: 'number' }),
    subject: text('subject', { enum: ['run', 'export', 'file'] }).notNull(),
    fromState: text('from_state'),
    toState: text('to_state').notNull(),
    who: text('who').notNull(),
    reason: text('reason'),
  },
  (t) => [
    index('history_run').on(t.runId, t.id),
    // For the status page: what went wrong in a stretch of time.
    index('history_troubles')
      .on(t.at)
      .where(
        sql`to_state in ('failed', 'dead', 'lost', 'vanished') or (from_state = 'transferring' and to_state = 'waiting')`,
      ),
    // For notifications: what was said of a run without a change of its state.
    index('history_said')
      .on(t.at)
      .where(sql`subject = 'run' and from_state = to_state`),
    check('history_subject', oneOf('subject', ['run', 'export', 'file'])),
  ],
);

export const noticeKinds = [
  'run-failed',
  'gap',
  'expiry-warning',
  'expiry-critical',
  'file-dead',
  'file-lost',
  'recovered',
] as const;
export type NoticeKind = (typeof noticeKinds)[number];

/** One row for each webhook of the config: how far history was read for it, and who sends to it now. */
export const webhooks = udmSync.table('webhooks', {
  name: text('name').primaryKey(),
  since: instant('since').notNull(),
  scannedUntil: instant('scanned_until').notNull(),
  claim: text('claim'),
  claimedUntil: instant('claimed_until'),
  lastSentAt: instant('last_sent_at'),
  failures: integer('failures').notNull().default(0),
  nextTryAt: instant('next_try_at'),
  reason: text('reason'),
});

/** One row for each thing that a webhook is to be told, or was. */
export const notices = udmSync.table(
  'notices',
  {
    id: bigserial('id', { mode: 'number' }).primaryKey(),
    webhook: text('webhook').notNull(),
    identity: text('identity').notNull(),
    kind: text('kind', { enum: noticeKinds }).notNull(),
    definition: text('definition').notNull(),
    tenant: text('tenant').notNull(),
    runId: bigint('run_id', { mode: 'number' }),
    windowFrom: instant('window_from'),
    windowTo: instant('window_to'),
    file: text('file'),
    reason: text('reason'),
    happenedAt: instant('happened_at').notNull(),
    createdAt: instant('created_at')
      .notNull()
      .default(sql`clock_timestamp()`),
    message: text('message'),
    attempts: integer('attempts').notNull().default(0),
    sentAt: instant('sent_at'),
    givenUpAt: instant('given_up_at'),
    overAt: instant('over_at'),
  },
  (t) => [
    // History is read with an overlap: what is known already is refused here.
    uniqueIndex('notices_identity').on(t.webhook, t.identity),
    index('notices_unsent')
      .on(t.webhook, t.id)
      .where(sql`sent_at is null and given_up_at is null`),
    index('notices_open')
      .on(t.webhook, t.runId)
      .where(sql`over_at is null`),
    index('notices_created').on(t.createdAt),
    check('notices_kind', oneOf('kind', noticeKinds)),
  ],
);
