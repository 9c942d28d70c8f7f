import { and, asc, eq, inArray, ne, sql } from 'drizzle-orm';
import { files } from '../../drizzle/schema.ts';
import type { FileState } from '../../drizzle/schema.ts';
import { chunksOf } from './chunks.ts';
import type { Executor, Transaction } from './database.ts';
import { appendHistory } from './history.ts';

export type File = typeof files.$inferSelect;
export type NewFile = Pick<
  typeof files.$inferInsert,
  'runId' | 'exportId' | 'tenant' | 'name' | 'key' | 'announcedSize' | 'createdUpstreamAt' | 'expiresAt'
>;

/** Inserts the files that are not known yet; returns only those. */
export async function insertFiles(tx: Transaction, rows: readonly NewFile[], who: string): Promise<File[]> {
  const inserted: File[] = [];
  for (const chunk of chunksOf(rows))
    inserted.push(...(await tx.insert(files).values(chunk).onConflictDoNothing().returning()));
  await appendHistory(
    tx,
    inserted.map((file) => ({ runId: file.runId, subject: 'file', fileId: file.id, to: 'waiting', who })),
  );
  return inserted;
}

/** The files of an export, by name. */
export function filesOfExport(db: Executor, exportId: number): Promise<File[]> {
  return db.select().from(files).where(eq(files.exportId, exportId)).orderBy(asc(files.name));
}

export function filesOfRun(db: Executor, runId: number): Promise<File[]> {
  return db.select().from(files).where(eq(files.runId, runId)).orderBy(asc(files.exportId), asc(files.name));
}

/** How many transfers of a tenant hold files now, besides `claim`. Hold the tenant's lock while you decide by it. */
export async function countTransfers(tx: Transaction, tenant: string, claim: string): Promise<number> {
  const [row] = await tx
    .select({ n: sql<string>`count(distinct claim)` })
    .from(files)
    .where(and(eq(files.tenant, tenant), sql`state = 'transferring'`, ne(files.claim, claim)));
  return Number(row?.n ?? 0);
}

/** Files of other exports of the tenant that have one of these names: upstream, a name stands for one file only. */
export async function sharedNames(
  db: Executor,
  tenant: string,
  names: readonly string[],
  exportId: number,
): Promise<Pick<File, 'id' | 'runId' | 'exportId' | 'name' | 'state'>[]> {
  const found = [];
  for (const chunk of chunksOf(names)) {
    const rows = await db
      .select({
        id: files.id,
        runId: files.runId,
        exportId: files.exportId,
        name: files.name,
        state: files.state,
      })
      .from(files)
      .where(and(eq(files.tenant, tenant), inArray(files.name, chunk), ne(files.exportId, exportId)));
    found.push(...rows);
  }
  return found;
}

/** The files that a claim holds now. */
export function heldFiles(tx: Transaction, claim: string): Promise<Pick<File, 'id' | 'runId' | 'state'>[]> {
  return tx
    .select({ id: files.id, runId: files.runId, state: files.state })
    .from(files)
    .where(and(eq(files.claim, claim), eq(files.state, 'transferring')));
}

/** Takes the files of a batch that still wait, or were left by a worker that died, and returns them. */
export async function claimFiles(
  tx: Transaction,
  ids: readonly number[],
  claim: string,
  who: string,
): Promise<File[]> {
  const before = await tx
    .select({ id: files.id, state: files.state })
    .from(files)
    .where(and(inArray(files.id, [...ids]), inArray(files.state, ['waiting', 'transferring'])))
    .for('update');
  if (before.length === 0) return [];
  const claimed = await tx
    .update(files)
    .set({ state: 'transferring', claim, transferStartedAt: sql`clock_timestamp()` })
    .where(
      inArray(
        files.id,
        before.map((file) => file.id),
      ),
    )
    .returning();
  const states = new Map(before.map(({ id, state }) => [id, state]));
  await appendHistory(
    tx,
    claimed.map((file) => ({
      runId: file.runId,
      subject: 'file',
      fileId: file.id,
      from: states.get(file.id),
      to: 'transferring',
      who,
    })),
  );
  return claimed.sort((a, b) => ids.indexOf(a.id) - ids.indexOf(b.id));
}

type FilePatch = Partial<Pick<File, 'attempts' | 'holdups'>>;

/** Moves one file out of the hands of its claim and says so in the run's history. */
export async function moveFile(
  tx: Transaction,
  file: Pick<File, 'id' | 'runId' | 'state'>,
  to: Exclude<FileState, 'transferring' | 'verified' | 'deleted'>,
  who: string,
  reason?: string,
  patch: FilePatch = {},
): Promise<void> {
  await tx
    .update(files)
    .set({
      ...patch,
      state: to,
      reason: reason ?? null,
      claim: null,
    })
    .where(eq(files.id, file.id));
  await appendHistory(tx, [
    { runId: file.runId, subject: 'file', fileId: file.id, from: file.state, to, who, reason },
  ]);
}

/** What is known of a file once it is verified. */
export interface VerifiedFile {
  readonly file: Pick<File, 'id' | 'runId' | 'state' | 'attempts'>;
  /** Bytes. */
  readonly size: number;
  /** Eight hex digits. */
  readonly crc32: string;
  readonly etag: string | null;
  readonly sourceEtag: string | null;
  readonly proof: NonNullable<File['proof']>;
}

/** Notes that files are verified in the sink, and says so in their run's history: two statements, however many. */
export async function verifyFiles(
  tx: Transaction,
  verified: readonly VerifiedFile[],
  who: string,
): Promise<void> {
  if (verified.length === 0) return;
  const column = <T>(value: (row: VerifiedFile) => T) => sql.param(verified.map(value));
  await tx.execute(sql`
    update udm_sync.files f set state = 'verified', reason = 'proof: ' || v.proof, claim = null,
      size = v.size, crc32 = v.crc32, etag = v.etag, source_etag = v.source_etag, proof = v.proof,
      attempts = v.attempts, holdups = 0, verified_at = clock_timestamp()
    from unnest(${column(({ file }) => file.id)}::bigint[], ${column(({ size }) => size)}::bigint[],
      ${column(({ crc32 }) => crc32)}::text[], ${column(({ etag }) => etag)}::text[],
      ${column(({ sourceEtag }) => sourceEtag)}::text[], ${column(({ proof }) => proof)}::text[],
      ${column(({ file }) => file.attempts + 1)}::int[])
      as v(id, size, crc32, etag, source_etag, proof, attempts)
    where f.id = v.id`);
  await appendHistory(
    tx,
    verified.map(({ file, proof }) => ({
      runId: file.runId,
      subject: 'file',
      fileId: file.id,
      from: file.state,
      to: 'verified',
      who,
      reason: `proof: ${proof}`,
    })),
  );
}

/** Notes that files are gone upstream: deleted by us, after they were verified. */
export async function markDeleted(
  tx: Transaction,
  gone: readonly Pick<File, 'id' | 'runId' | 'state'>[],
  who: string,
): Promise<void> {
  if (gone.length === 0) return;
  const ids = gone.map((file) => file.id);
  await tx
    .update(files)
    .set({ state: 'deleted', deletedAt: sql`clock_timestamp()`, reason: null })
    .where(and(inArray(files.id, ids), eq(files.state, 'verified')));
  await appendHistory(
    tx,
    gone.map((file) => ({
      runId: file.runId,
      subject: 'file',
      fileId: file.id,
      from: file.state,
      to: 'deleted',
      who,
    })),
  );
}

/**
 * The files of an export that may be deleted upstream: verified, and that fact committed. This query is the only
 * source of names for DELETE.
 */
export function deletableFiles(
  db: Executor,
  exportId: number,
): Promise<Pick<File, 'id' | 'runId' | 'state' | 'name'>[]> {
  return db
    .select({ id: files.id, runId: files.runId, state: files.state, name: files.name })
    .from(files)
    .where(
      and(eq(files.exportId, exportId), eq(files.state, 'verified'), sql`${files.verifiedAt} is not null`),
    )
    .orderBy(asc(files.name));
}

/** How many files of an export are in each state. */
export async function countFilesByState(
  db: Executor,
  exportId: number,
): Promise<Partial<Record<FileState, number>>> {
  const rows = await db
    .select({ state: files.state, n: sql<string>`count(*)` })
    .from(files)
    .where(eq(files.exportId, exportId))
    .groupBy(files.state);
  return Object.fromEntries(rows.map(({ state, n }) => [state, Number(n)]));
}
