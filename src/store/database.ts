import { drizzle } from 'drizzle-orm/node-postgres';
import type { NodePgDatabase } from 'drizzle-orm/node-postgres';
import { sql } from 'drizzle-orm';
import pg from 'pg';
import * as schema from '../../drizzle/schema.ts';
import { UdmSyncError, describeError } from '../errors.ts';
import type { Logger } from '../log.ts';

export type Database = NodePgDatabase<typeof schema>;
export type Transaction = Parameters<Parameters<Database['transaction']>[0]>[0];
/** Either: a query that may run inside or outside a transaction. */
export type Executor = Database | Transaction;

export interface DatabaseHandle {
  readonly db: Database;
  readonly url: string;
  /** Waits for queries under way and closes all connections. */
  close(): Promise<void>;
}

/** Host, port and database of a Postgres URL, without user, password or parameters. */
export function showDatabaseUrl(url: string): string {
  try {
    const { protocol, host, pathname } = new URL(url);
    return `${protocol}//${host}${pathname}`;
  } catch {
    return '(unreadable URL)';
  }
}

/**
 * Opens a pool on Postgres and makes sure that it answers.
 *
 * @throws UdmSyncError `ERR_DATABASE` when it cannot be reached or refuses us
 */
export async function openDatabase(url: string, poolSize: number, logger: Logger): Promise<DatabaseHandle> {
  const pool = new pg.Pool({
    connectionString: url,
    max: poolSize,
    application_name: 'udm-sync',
    connectionTimeoutMillis: 10_000,
    keepAlive: true,
  });
  // An idle connection that breaks (server restart) is replaced by the pool; without a listener it ends the process.
  pool.on('error', (error) => logger.warn({ reason: error.message }, 'a database connection was lost'));
  const db = drizzle(pool, { schema });
  try {
    await db.execute(sql`select 1`);
  } catch (error) {
    await pool.end();
    throw databaseError(url, error);
  }
  return { db, url, close: () => pool.end() };
}

/** The same failure in words for an operator; never shows the password. */
export function databaseError(url: string, error: unknown): UdmSyncError {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const why = describeError(cause);
  return new UdmSyncError('ERR_DATABASE', `Postgres at ${showDatabaseUrl(url)} cannot be used: ${why}.`, {
    hint: 'Check that it runs, that DATABASE_URL names the right host, user and database, and that the network allows it.',
    cause,
    retryable: true,
  });
}

/** Postgres' clock (UTC). Decisions about windows and deadlines use it, so that replicas agree. */
export async function databaseNow(db: Executor): Promise<Date> {
  const { rows } = await db.execute<{ ms: string }>(
    sql`select floor(extract(epoch from clock_timestamp()) * 1000)::bigint as ms`,
  );
  return new Date(Number(rows[0]?.ms));
}

/** A lock that the transaction holds until it ends. Same name, same lock, for every process. */
export async function lockFor(tx: Transaction, name: string): Promise<void> {
  await tx.execute(sql`select pg_advisory_xact_lock(hashtextextended(${`udm-sync:${name}`}, 0))`);
}
