/**
 * Runs an embedded Postgres for as long as its parent keeps stdin open: prints the URL, and on the end of stdin
 * stops the server and removes its directory. So nothing is left over, even when the parent is killed.
 */
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { createLogger } from '../../src/log.ts';
import { startEmbeddedPostgres } from '../../src/store/embedded-postgres.ts';

const parentIsGone = new Promise((resolve) => process.stdin.once('close', resolve).resume());
const directory = await mkdtemp(join(tmpdir(), 'udm-sync-test-postgres-'));
try {
  // Run as root, the server belongs to another user, who has to get in.
  await chmod(directory, 0o755);
  const start = () =>
    startEmbeddedPostgres({
      dataDir: directory,
      durable: false,
      logger: createLogger('warn', 'json', 2),
    });
  // The auditor asks when something was committed; the setting takes a restart.
  const first = await start();
  const client = new Client({ connectionString: first.url });
  await client.connect();
  await client.query('alter system set track_commit_timestamp = on');
  await client.end();
  await first.stop();
  const postgres = await start();
  console.log(postgres.url);
  await parentIsGone;
  await postgres.stop();
} finally {
  await rm(directory, { recursive: true, force: true });
}
