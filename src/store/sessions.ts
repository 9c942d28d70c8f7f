import pg from 'pg';

/** How many other connections of udm-sync the server has; someone may still need it. */
export async function otherSessions(url: string): Promise<number> {
  const client = new pg.Client({ connectionString: url, application_name: 'udm-sync leaving' });
  try {
    await client.connect();
    const { rows } = await client.query<{ n: string }>(
      `select count(*) as n from pg_stat_activity
       where pid <> pg_backend_pid() and backend_type = 'client backend' and application_name like 'udm-sync%'`,
    );
    return Number(rows[0]?.n ?? 0);
  } catch {
    // A server that does not answer is not one to stop.
    return 1;
  } finally {
    await client.end().catch(() => undefined);
  }
}
