import { drizzle } from 'drizzle-orm/node-postgres';
import type { NodePgDatabase } from 'drizzle-orm/node-postgres';
import { sql } from 'drizzle-orm';
import pg from 'pg';
import * as schema from '../../drizzle/schema.ts';
import { UdmSyncError, describeError } from '../errors.ts';
import type { Logger } from '../log.ts';

export type Database = NodePgDatabase<typeof schema> & { readonly $client: pg.Pool };
/** A transaction under way; see `transact`. */
export type Transaction = Omit<Database, '$client' | 'transaction'> & { readonly inTransaction: true };
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
 * How long a query may go unanswered. A connection that is cut off without a word (a network gone, a proxy that hangs)
 * would otherwise keep its worker waiting for ever. Longer than any statement of ours may take.
 */
const unansweredMs = 90_000;

/** The URL with our limit on unanswered queries, unless it sets one itself (`?query_timeout=<ms>`). */
export function withTimeLimit(url: string): string {
  if (/[?&]query_timeout=/.test(url)) return url;
  return `${url}${url.includes('?') ? '&' : '?'}query_timeout=${unansweredMs}`;
}

/**
 * Opens a pool on Postgres and makes sure that it answers.
 *
 * @throws UdmSyncError `ERR_DATABASE` when it cannot be reached or refuses us
 */
export async function openDatabase(url: string, poolSize: number, logger: Logger): Promise<DatabaseHandle> {
  const pool = new pg.Pool({
    connectionString: withTimeLimit(url),
    max: poolSize,
    application_name: 'udm-sync',
    connectionTimeoutMillis: 10_000,
    keepAlive: true,
  });
  // An idle connection that breaks (server restart) is replaced by the pool; without a listener it ends the process.
  const lost = (error: Error) => logger.warn({ reason: error.message }, 'a database connection was lost');
  pool.on('error', lost);
  // The pool's own listener is off while a connection is lent out.
  pool.on('connect', (client) => client.on('error', lost));
  const db = drizzle(pool, { schema });
  try {
    await db.execute(sql`select 1`);
  } catch (error) {
    await pool.end();
    throw databaseError(url, error);
  }
  return { db, url, close: () => pool.end() };
}

/**
 * What a transaction may take before Postgres ends it: a process that is frozen or cut off in the middle of one must
 * not hold its locks against everybody else. Ours never wait for anything outside Postgres.
 */
const beginStatement =
  "begin; set local idle_in_transaction_session_timeout = '10s'; set local lock_timeout = '30s'; set local statement_timeout = '60s'";

/**
 * Runs `work` in a transaction: committed when it resolves, rolled back when it rejects.
 *
 * Not drizzle's own, which never gives a connection back to the pool on which BEGIN failed.
 */
export async function transact<T>(
  db: { readonly $client: pg.Pool },
  work: (tx: Transaction) => Promise<T>,
): Promise<T> {
  const client = await db.$client.connect();
  let broken: Error | undefined;
  try {
    await client.query(beginStatement);
    const result = await work(Object.assign(drizzle(client, { schema }), { inTransaction: true as const }));
    await client.query('commit');
    return result;
  } catch (error) {
    // Behind a query without an answer, a rollback would get none either; the server rolls back when we hang up.
    if (isUnanswered(error)) broken = new Error('the connection no longer answers', { cause: error });
    else
      await client.query('rollback').catch((reason: unknown) => {
        broken = reason instanceof Error ? reason : new Error(String(reason));
      });
    throw error;
  } finally {
    client.release(broken);
  }
}

/**
 * Runs `work` on one unchanging picture of the database, for reading much of it: nothing that others commit meanwhile
 * is seen, and nobody waits for it. Whoever reads the answer may be slow, so it may stand idle for five minutes.
 */
export async function readSnapshot<T>(
  db: { readonly $client: pg.Pool },
  work: (tx: Transaction) => Promise<T>,
): Promise<T> {
  const client = await db.$client.connect();
  let broken: Error | undefined;
  try {
    await client.query(
      "begin isolation level repeatable read read only; set local idle_in_transaction_session_timeout = '5min'; set local statement_timeout = '60s'",
    );
    return await work(Object.assign(drizzle(client, { schema }), { inTransaction: true as const }));
  } finally {
    await client.query('rollback').catch((reason: unknown) => {
      broken = reason instanceof Error ? reason : new Error(String(reason));
    });
    client.release(broken);
  }
}

/** Whether a query was given up because no answer came: in the words of pg, which has no code for it. */
function isUnanswered(error: unknown): boolean {
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause)
    if (cause.message === 'Query read timeout') return true;
  return false;
}

/** Whether an error is Postgres being away, busy or overtaken by another transaction: waiting is the cure. */
export function isDatabaseTrouble(error: unknown): boolean {
  if (isUnanswered(error)) return true;
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
    const code = 'code' in cause ? String(cause.code) : '';
    if (
      /^(08|40|53|57|58|25P0|55P03)/.test(code) ||
      /^(ECONN|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_AGAIN)/.test(code)
    )
      return true;
    if (/Connection terminated|timeout exceeded when trying to connect/.test(cause.message)) return true;
  }
  return false;
}

/** What an SQLSTATE (or its class, the first two characters) means for an operator; `lasting` if waiting is no cure. */
const advice: Readonly<Record<string, { readonly hint: string; readonly lasting: boolean }>> = {
  '28': {
    hint: 'Correct user and password in DATABASE_URL, or let the user in (pg_hba.conf).',
    lasting: true,
  },
  '3D': { hint: 'Create the database, or correct its name in DATABASE_URL.', lasting: true },
  '42501': {
    hint: 'Let the user create schemas in this database: grant create on database … to …',
    lasting: true,
  },
  '42P01': { hint: 'The schema is not there or not of this version: run udm-sync migrate.', lasting: true },
  '42703': { hint: 'The schema is not of this version: run udm-sync migrate.', lasting: true },
  '25006': { hint: 'It is a read-only standby: let DATABASE_URL name the primary.', lasting: false },
  '53': {
    hint: 'Postgres is out of connections, memory or disk: lower database.poolSize, or give it more.',
    lasting: false,
  },
  '57': { hint: 'Postgres is starting, stopping or being repaired: try again in a moment.', lasting: false },
};

const refusedQuery = 'Postgres answered and refused: its log says more.';
const unreachable =
  'Check that it runs, that DATABASE_URL names the right host, user and database, and that the network allows it.';

/** The same failure in words for an operator; never shows the password. */
export function databaseError(url: string, error: unknown): UdmSyncError {
  if (error instanceof UdmSyncError) return error;
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const state = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  const known = advice[state] ?? advice[state.slice(0, 2)];
  return new UdmSyncError(
    'ERR_DATABASE',
    `Postgres at ${showDatabaseUrl(url)} cannot be used: ${describeError(cause)}.`,
    {
      hint: known?.hint ?? (/^[0-9A-Z]{5}$/.test(state) ? refusedQuery : unreachable),
      cause,
      retryable: known?.lasting !== true,
    },
  );
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
