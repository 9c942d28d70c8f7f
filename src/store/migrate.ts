import { fileURLToPath } from 'node:url';
import { existsSync } from 'node:fs';
import { join, dirname } from 'node:path';
import { drizzle } from 'drizzle-orm/node-postgres';
import { readMigrationFiles } from 'drizzle-orm/migrator';
import { migrate } from 'drizzle-orm/node-postgres/migrator';
import pg from 'pg';
import { PgBoss } from 'pg-boss';
import { databaseError } from './database.ts';

/** The Postgres schema pg-boss keeps its queue in. */
export const queueSchema = 'udm_sync_queue';

const lockKey = 7_236_401_559;

/** Finds the waiting and active queue jobs of a run. */
const liveJobsIndex = 'udm_sync_live_jobs_of_run';

/** The folder of generated SQL: beside package.json, whether this runs from src or from dist. */
function migrationsFolder(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'migrations', 'meta'))) {
    const parent = dirname(folder);
    if (parent === folder) throw new Error('migrations/ is missing from this installation');
    folder = parent;
  }
  return join(folder, 'migrations');
}

/**
 * Brings the database to this version: our tables, then pg-boss's.
 *
 * Any number of processes may call it at once: an advisory lock lets one work while the others wait
 * (drizzle's own migrator takes no lock).
 *
 * @throws UdmSyncError `ERR_DATABASE`
 */
export async function migrateDatabase(url: string): Promise<{ applied: number }> {
  const client = newClient(url, 'udm-sync migrate');
  try {
    await client.connect();
    await client.query('select pg_advisory_lock($1)', [lockKey]);
    const before = await appliedMigrations(client);
    await migrate(drizzle(client), {
      migrationsFolder: migrationsFolder(),
      migrationsSchema: 'udm_sync_migrations',
    });
    const boss = new PgBoss({
      connectionString: url,
      schema: queueSchema,
      supervise: false,
      schedule: false,
      max: 2,
    });
    boss.on('error', () => undefined);
    await boss.start();
    await boss.stop({ graceful: false });
    await indexLiveJobs(client);
    return { applied: (await appliedMigrations(client)) - before };
  } catch (error) {
    throw databaseError(url, error);
  } finally {
    // Ends the session, and with it the lock.
    await client.end().catch(() => undefined);
  }
}

/**
 * Our index on pg-boss's table, made after pg-boss has migrated its own, and looked for each time: should a version of
 * pg-boss replace the table, it is there again. Looked for first, since even `if not exists` would wait for every writer.
 */
async function indexLiveJobs(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ known: string | null }>('select to_regclass($1)::text as known', [
    `${queueSchema}.${liveJobsIndex}`,
  ]);
  if (rows[0]?.known) return;
  await client.query(
    `create index ${liveJobsIndex} on ${queueSchema}.job (name, ((data->>'runId')::bigint)) where state < 'completed'`,
  );
}

/** How many of this version's migrations the database still lacks; 0 when it is ready. */
export async function pendingMigrations(url: string): Promise<number> {
  const client = newClient(url, 'udm-sync');
  try {
    await client.connect();
    const known = readMigrationFiles({ migrationsFolder: migrationsFolder() }).length;
    return Math.max(0, known - (await appliedMigrations(client)));
  } catch (error) {
    throw databaseError(url, error);
  } finally {
    await client.end().catch(() => undefined);
  }
}

function newClient(url: string, name: string): pg.Client {
  const client = new pg.Client({
    connectionString: url,
    application_name: name,
    connectionTimeoutMillis: 10_000,
  });
  // A connection that breaks between two queries is reported by the next one; unheard, it would end the process.
  client.on('error', () => undefined);
  return client;
}

async function appliedMigrations(client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ known: string | null }>(
    `select to_regclass('udm_sync_migrations.__drizzle_migrations')::text as known`,
  );
  if (!rows[0]?.known) return 0;
  const counted = await client.query<{ n: string }>(
    'select count(*) as n from udm_sync_migrations.__drizzle_migrations',
  );
  return Number(counted.rows[0]?.n ?? 0);
}
