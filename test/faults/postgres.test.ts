import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { createLogger } from '../../src/log.ts';
import { startEmbeddedPostgres } from '../../src/store/embedded-postgres.ts';
import { withTimeLimit } from '../../src/store/database.ts';
import { migrateDatabase } from '../../src/store/migrate.ts';
import { until } from './arena.ts';
import type { Arena, Ground } from './arena.ts';
import { layGround, startScene } from './scene.ts';

let ground: Ground;
beforeAll(async () => {
  ground = await layGround();
});
afterAll(() => (ground as Ground | undefined)?.s3.stop());

/** Moments in the life of the eight runs: in the middle of exports, of transfers, of clean-up. */
const moments = [
  `select 1 from udm_sync.runs where state = 'exporting'`,
  `select 1 from udm_sync.files where state = 'transferring'`,
  `select 1 from udm_sync.files where state = 'verified'`,
  `select 1 from udm_sync.runs where state = 'done'`,
];

test.each(['rst', 'fin'] as const)(
  'connections to Postgres are cut by %s again and again',
  async (how) => {
    const { arena, finish } = await startScene({ ground });
    for (const moment of moments) {
      await arena.row(moment);
      expect(arena.proxies.postgres.cut(how)).toBeGreaterThan(0);
    }
    await finish();
  },
  150_000,
);

test('Postgres is in a black hole for a while: connections hang, and new ones get no answer', async () => {
  const { arena, finish, worker } = await startScene({ ground, databaseParameters: 'query_timeout=1500' });
  const { postgres } = arena.proxies;
  await arena.row(`select 1 from udm_sync.files where state = 'transferring'`);
  postgres.set({ accept: 'blackhole' });
  const hanging = postgres.freeze();
  expect(hanging).toBeGreaterThan(0);
  // The worker has given its connections up by itself, and asks for new ones.
  await until('new connections were swallowed', () => (postgres.harm['blackholed'] ?? 0) >= 3);
  postgres.set({ accept: 'forward' });
  await finish();
  const [faults] = await arena.sql<{ n: number }>('select max(step_faults)::int as n from udm_sync.runs');
  expect(faults?.n, 'no step counts the hole as its own failure').toBe(0);
  expect(worker.said()).toContain('Query read timeout');
}, 150_000);

test('a command whose queue cannot be opened says so and ends', async () => {
  const { arena, config, worker } = await startScene({ ground });
  worker.signal('SIGKILL');
  await worker.ended;
  // Half-way: the queue's timers and connections are there already.
  await arena.sql('alter function udm_sync_queue.create_queue(text, jsonb) rename to create_queue_no_more');
  const { code, stderr } = await arena.run(config, 'run');
  expect(stderr).toContain('ERR_DATABASE');
  expect(code).toBe(1);
}, 60_000);

test('a worker that loses Postgres half-way through its start begins again', async () => {
  const { arena, config, worker } = await startScene({ ground });
  worker.signal('SIGKILL');
  await worker.ended;
  await arena.sql('alter function udm_sync_queue.create_queue(text, jsonb) rename to create_queue_no_more');
  const second = arena.start(config, 'worker');
  await until('it tries again', () => second.said().includes('Postgres is not ready; trying again'));
  await arena.sql('alter function udm_sync_queue.create_queue_no_more(text, jsonb) rename to create_queue');
  await arena.row(`select 1 from udm_sync.runs where state = 'done' having count(*) = 8`);
  second.signal('SIGTERM');
  expect((await second.ended).code).toBe(0);
}, 150_000);

test('a worker told to stop in the middle of a slow start ends, and leaves nothing open', async () => {
  const { arena, config, worker } = await startScene({ ground });
  worker.signal('SIGKILL');
  await worker.ended;
  const { postgres } = arena.proxies;
  postgres.set({ delayMs: 150 });
  const before = postgres.accepted;
  const second = arena.start(config, 'worker');
  // The schema was looked at, and the pipeline is being opened.
  await until('it is at its second connection', () => postgres.accepted >= before + 2);
  second.signal('SIGTERM');
  expect((await second.ended).code).toBe(0);
  expect(second.said()).toContain('stopped before it could work');
}, 60_000);

test('without a setting of their own, our connections give up on a query after a while', () => {
  expect(withTimeLimit('postgres://u:p@h/d')).toBe('postgres://u:p@h/d?query_timeout=90000');
  expect(withTimeLimit('postgres://h/d?sslmode=require')).toBe(
    'postgres://h/d?sslmode=require&query_timeout=90000',
  );
  expect(withTimeLimit('postgres://h/d?query_timeout=5')).toBe('postgres://h/d?query_timeout=5');
});

/** A server of the test's own, that it may stop and start. */
async function privateServer() {
  const dataDir = await mkdtemp(join(tmpdir(), 'udm-sync-restarted-'));
  // Run as root, the server belongs to another user, who has to get in.
  await chmod(dataDir, 0o755);
  const logger = createLogger('silent', 'json', 2);
  // Durable: what it has said is committed has to be there after a crash.
  let server = await startEmbeddedPostgres({ dataDir, durable: true, logger });
  const { url } = server;
  const port = Number(new URL(url).port);
  await migrateDatabase(url);
  const client = new Client({ connectionString: url });
  await client.connect();
  await client.query('alter system set track_commit_timestamp = on');
  await client.end();
  await server.stop();
  server = await startEmbeddedPostgres({ dataDir, port, durable: true, logger });
  onTestFinished(async () => {
    await server.stop();
    await rm(dataDir, { recursive: true, force: true });
  });
  return {
    url,
    async restart(how: 'fast' | 'crash') {
      if (how === 'fast') await server.stop();
      else {
        const [pid] = (await readFile(join(dataDir, 'cluster/data/postmaster.pid'), 'utf8')).split('\n');
        // Immediate shutdown: nothing is written, and recovery comes with the next start.
        process.kill(Number(pid), 'SIGQUIT');
      }
      server = await startEmbeddedPostgres({ dataDir, port, durable: true, logger });
    },
  };
}

async function restartAt(arena: Arena, restart: () => Promise<void>) {
  for (const moment of moments) {
    await arena.row(moment);
    await restart();
  }
}

test.each(['fast', 'crash'] as const)(
  'Postgres is restarted (%s) again and again',
  async (how) => {
    const server = await privateServer();
    const { arena, finish } = await startScene({
      ground,
      database: { url: server.url, drop: () => Promise.resolve() },
    });
    await restartAt(arena, () => server.restart(how));
    await finish();
  },
  200_000,
);
