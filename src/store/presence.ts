import pg from 'pg';

/** The advisory lock that everyone who uses the embedded server shares. */
const lockKey = 7_236_401_560;

/** Being one of those who use the embedded server. It ends with the process at the latest. */
export interface Presence {
  /** Goes. Whoever is the last one does `ifLast` first, and nobody can come in meanwhile. */
  leave(ifLast: () => Promise<void>): Promise<void>;
}

/**
 * Comes in; waits while somebody is about to stop the server.
 *
 * @throws whatever the connection failed with, such as the server having been stopped while we waited
 */
export async function comeIn(url: string): Promise<Presence> {
  const client = new pg.Client({
    connectionString: url,
    application_name: 'udm-sync presence',
    keepAlive: true,
  });
  // Should the server stop under us, our own queries say so.
  client.on('error', () => undefined);
  try {
    await client.connect();
    await client.query('select pg_advisory_lock_shared($1)', [lockKey]);
  } catch (error) {
    await client.end().catch(() => undefined);
    throw error;
  }
  return {
    async leave(ifLast) {
      try {
        if (await isLast(client)) await ifLast();
      } finally {
        await client.end().catch(() => undefined);
      }
    },
  };
}

/** Gives up the shared lock and tries to have it alone: of several who leave at once, the last one gets it. */
async function isLast(client: pg.Client): Promise<boolean> {
  try {
    await client.query('select pg_advisory_unlock_shared($1)', [lockKey]);
    const { rows } = await client.query<{ alone: boolean }>('select pg_try_advisory_lock($1) as alone', [
      lockKey,
    ]);
    return rows[0]?.alone === true;
  } catch {
    // A server that does not answer is not one to stop.
    return false;
  }
}
