import type { Database } from './database.ts';

/**
 * Does something unless another process is doing it: an advisory lock of a session of its own, which ends with the
 * process at the latest. For work that waits for the outside world, and so may not hold a transaction open.
 *
 * @returns what `work` resolved to, or `undefined` if another process holds the lock
 */
export async function exclusively<T>(
  { $client: pool }: Database,
  name: string,
  work: () => Promise<T>,
): Promise<T | undefined> {
  const key = `udm-sync:${name}`;
  const client = await pool.connect();
  let broken: boolean | undefined;
  try {
    const { rows } = await client.query<{ mine: boolean }>(
      'select pg_try_advisory_lock(hashtextextended($1, 0)) as mine',
      [key],
    );
    if (rows[0]?.mine !== true) return undefined;
    try {
      return await work();
    } finally {
      // A connection that cannot say so is closed, which lets go of the lock too.
      await client.query('select pg_advisory_unlock(hashtextextended($1, 0))', [key]).catch(() => {
        broken = true;
      });
    }
  } finally {
    client.release(broken);
  }
}
