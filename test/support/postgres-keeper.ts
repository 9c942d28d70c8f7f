/**
 * Runs an embedded Postgres for as long as its parent keeps stdin open: prints the URL, and on the end of stdin
 * stops the server and removes its directory. So nothing is left over, even when the parent is killed.
 */
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger } from '../../src/log.ts';
import { startEmbeddedPostgres } from '../../src/store/embedded-postgres.ts';

const parentIsGone = new Promise((resolve) => process.stdin.once('close', resolve).resume());
const directory = await mkdtemp(join(tmpdir(), 'udm-sync-test-postgres-'));
try {
  // Run as root, the server belongs to another user, who has to get in.
  await chmod(directory, 0o755);
  const postgres = await startEmbeddedPostgres({
    dataDir: directory,
    durable: false,
    logger: createLogger('warn', 'json', 2),
  });
  console.log(postgres.url);
  await parentIsGone;
  await postgres.stop();
} finally {
  await rm(directory, { recursive: true, force: true });
}
