import { and, asc, eq, inArray, sql } from 'drizzle-orm';
import { z } from 'zod';
import { files, parts, runs, uploads } from '../../drizzle/schema.ts';
import type { Executor } from './database.ts';

// Parsed, not trusted: it was written by another process, perhaps of another version.
const uploadColumn = z.object({
  key: z.string(),
  id: z.string(),
  marker: z.string(),
  keeps: z.object({ parts: z.boolean(), whole: z.boolean() }),
});

/** An upload in parts as Postgres keeps it. */
export interface StoredUpload {
  readonly id: number;
  readonly sink: string;
  readonly upload: z.infer<typeof uploadColumn>;
  /** Bytes. */
  readonly partSize: number;
  /** Bytes. */
  readonly length: number;
  readonly sourceEtag: string;
}

export interface StoredPart {
  readonly number: number;
  /** Bytes. */
  readonly size: number;
  readonly etag: string;
  /** Unsigned. */
  readonly crc32: number;
}

function parsed(row: typeof uploads.$inferSelect): StoredUpload {
  const { id, sink, partSize, length, sourceEtag } = row;
  return { id, sink, upload: uploadColumn.parse(row.upload), partSize, length, sourceEtag };
}

export async function findUpload(db: Executor, fileId: number): Promise<StoredUpload | undefined> {
  const [row] = await db.select().from(uploads).where(eq(uploads.fileId, fileId));
  return row && parsed(row);
}

/** Which of the files have an upload under way. */
export async function filesWithUploads(db: Executor, fileIds: readonly number[]): Promise<Set<number>> {
  const rows = await db
    .select({ fileId: uploads.fileId })
    .from(uploads)
    .where(inArray(uploads.fileId, [...fileIds]));
  return new Set(rows.map((row) => row.fileId));
}

/** The parts of an upload, by number. */
export async function partsOf(db: Executor, uploadId: number): Promise<StoredPart[]> {
  const rows = await db.select().from(parts).where(eq(parts.uploadId, uploadId)).orderBy(asc(parts.number));
  return rows.map(({ number, size, etag, crc32 }) => ({
    number,
    size,
    etag,
    crc32: Number.parseInt(crc32, 16),
  }));
}

/** Notes an upload that has begun; returns its id. Fails if the file has one: two at once would never be told apart. */
export async function insertUpload(
  db: Executor,
  row: {
    fileId: number;
    sink: string;
    upload: unknown;
    partSize: number;
    length: number;
    sourceEtag: string;
  },
): Promise<number> {
  const [inserted] = await db.insert(uploads).values(row).returning({ id: uploads.id });
  if (!inserted) throw new Error('an insert returns its row');
  return inserted.id;
}

/** Notes a part. Fails when the upload is no longer the file's: a stale worker must not go on. */
export async function insertPart(db: Executor, uploadId: number, part: StoredPart): Promise<void> {
  const row = { ...part, uploadId, crc32: part.crc32.toString(16).padStart(8, '0') };
  await db
    .insert(parts)
    .values(row)
    .onConflictDoUpdate({ target: [parts.uploadId, parts.number], set: row });
}

/** Forgets an upload and its parts; false if somebody else has done so. */
export async function deleteUpload(db: Executor, uploadId: number): Promise<boolean> {
  const gone = await db.delete(uploads).where(eq(uploads.id, uploadId)).returning({ id: uploads.id });
  return gone.length > 0;
}

/** An upload that nobody will continue, with the bytes its parts hold. */
export interface AbandonedUpload {
  readonly id: number;
  readonly sink: string;
  /** Undefined where the row cannot be read, which must not hold up the others. */
  readonly upload: StoredUpload['upload'] | undefined;
  readonly sentBytes: number;
}

/** Uploads of these sinks that nobody will continue: their file is settled, or its run has ended. */
export async function abandonedUploads(
  db: Executor,
  sinks: readonly string[],
  limit?: number,
): Promise<AbandonedUpload[]> {
  const query = db
    .select({
      upload: uploads,
      sent: sql<string>`(select coalesce(sum(p.size), 0) from ${parts} p where p.upload_id = ${uploads.id})`,
    })
    .from(uploads)
    .innerJoin(files, eq(files.id, uploads.fileId))
    .innerJoin(runs, eq(runs.id, files.runId))
    .where(
      and(
        inArray(uploads.sink, [...sinks]),
        sql`(${files.state} in ('verified', 'deleted', 'dead', 'lost') or ${runs.state} = 'cancelled')`,
      ),
    )
    .orderBy(asc(uploads.id));
  const rows = await (limit === undefined ? query : query.limit(limit));
  return rows.map(({ upload: { id, sink, upload }, sent }) => ({
    id,
    sink,
    upload: uploadColumn.safeParse(upload).data,
    sentBytes: Number(sent),
  }));
}

const neededRow = z.object({ uploads: z.array(z.string()), keys: z.array(z.string()) });

/**
 * Ids of all uploads that are noted, and keys of all files that are being written, whose upload may not be noted yet.
 * Of every sink: two of them may share a bucket.
 */
export async function neededUploads(
  db: Executor,
): Promise<{ readonly uploads: ReadonlySet<string>; readonly keys: readonly string[] }> {
  // One statement, one snapshot: an upload that is being noted is in the one list or the other.
  const { rows } = await db.execute(sql`
    select coalesce((select array_agg(upload->>'id') from udm_sync.uploads), '{}') as "uploads",
      coalesce((select array_agg(key) from udm_sync.files where state = 'transferring'), '{}') as "keys"`);
  const needed = neededRow.parse(rows[0]);
  return { uploads: new Set(needed.uploads), keys: needed.keys };
}
