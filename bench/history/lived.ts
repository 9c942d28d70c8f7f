import type pg from 'pg';

/** What a file's row is made of, but for its id. */
export const fileColumns = `run_id, export_id, tenant, name, key, state, announced_size, size, crc32, etag, source_etag, proof,
  attempts, claim, created_upstream_at, expires_at, found_at, transfer_started_at, verified_at, deleted_at`;

const filesPerSlice = 5_000;
/** About when autovacuum would come by, with a million files. */
const slicesPerVacuum = 10;

/**
 * Inserts files as workers do: waiting at first, then updated to transferring, verified and deleted, some thousands at
 * a time, with vacuum coming by. Each update leaves a dead row and dead index entries behind, and so sizes are those
 * of a database that has lived.
 *
 * @param inserting the statement that inserts the files as they are to be in the end into a table of that name
 */
export async function liveThrough(client: pg.Client, inserting: (table: string) => string): Promise<void> {
  await client.query('create temp table wanted (like udm_sync.files including defaults)');
  await client.query(
    'alter table wanted add column turn bigserial, alter column id drop not null, alter column id drop default',
  );
  await client.query(inserting('wanted'));
  await client.query('create index on wanted (turn)');
  await client.query('analyze wanted');
  const { rows } = await client.query<{ last: string | null }>('select max(turn) as last from wanted');
  const last = Number(rows[0]?.last ?? 0);
  for (let from = 1, slice = 1; from <= last; from += filesPerSlice, slice += 1) {
    const turns = `turn between ${from} and ${from + filesPerSlice - 1}`;
    const those = `from wanted w where ${turns} and f.export_id = w.export_id and f.name = w.name`;
    for (const sql of [
      `insert into udm_sync.files (run_id, export_id, tenant, name, key, announced_size, created_upstream_at, expires_at, found_at)
        select run_id, export_id, tenant, name, key, announced_size, created_upstream_at, expires_at, found_at
        from wanted where ${turns} order by turn`,
      `update udm_sync.files f set state = 'transferring', claim = md5(w.export_id::text),
        transfer_started_at = w.transfer_started_at ${those}`,
      `update udm_sync.files f set state = 'verified', claim = null, size = w.size, crc32 = w.crc32, etag = w.etag,
        source_etag = w.source_etag, proof = w.proof, attempts = 1, verified_at = w.verified_at ${those} and w.verified_at is not null`,
      `update udm_sync.files f set state = w.state, claim = w.claim, deleted_at = w.deleted_at ${those} and w.state <> 'verified'`,
    ])
      await client.query(sql);
    if (slice % slicesPerVacuum === 0) await client.query('vacuum udm_sync.files');
  }
  await client.query('drop table wanted');
}
