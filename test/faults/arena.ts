/**
 * The whole outside world of the program, with somebody who can break it at every border: its upstream and the origin,
 * its Postgres and its bucket each lie behind a TCP proxy, S3 also behind one that understands HTTP. Knows nothing of
 * Vitest, so that the soak can use it.
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DeleteObjectsCommand, ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3';
import { Pool } from 'pg';
import type { QueryResultRow } from 'pg';
import { stringify } from 'yaml';
import { startSimulator } from '../../simulator/server.ts';
import type { FileSpec, JobView, Simulator, SimulatorOptions } from '../../simulator/server.ts';
import { collectFacts } from '../auditor/facts.ts';
import type { Expectation, Facts } from '../auditor/facts.ts';
import type { Storage } from '../auditor/storage.ts';
import { start } from '../e2e/processes.ts';
import type { Ended, Running } from '../e2e/processes.ts';
import { startRecordingProxy } from '../sinks/recording-proxy.ts';
import type { RecordingProxy } from '../sinks/recording-proxy.ts';
import { createTestDatabase } from '../support/postgres.ts';
import type { TemplateServer, TestDatabase } from '../support/postgres.ts';
import type { S3Server } from '../support/s3.ts';
import { startTcpProxy } from './tcp-proxy.ts';
import type { Address, TcpProxy } from './tcp-proxy.ts';

export const prefix = 'exports/arena';

/** What several arenas share. */
export interface Ground {
  /** The built command line. */
  readonly main: string;
  readonly postgres: TemplateServer;
  readonly s3: S3Server;
}

/** A section or a definition of the config file, as it is written. */
export type Settings = Readonly<Record<string, unknown>>;

export interface ArenaOptions {
  readonly ground: Ground;
  /** Default `s3`. */
  readonly sink?: 'bucket' | 'folder';
  /** Where the filesystem sink writes; default a folder of the arena. */
  readonly folder?: string;
  /** A database of a server of its own, instead of one on the shared server. */
  readonly database?: TestDatabase;
  /** Added to the database URL, such as `query_timeout=2000`. */
  readonly databaseParameters?: string;
  readonly simulator?: Omit<SimulatorOptions, 'logFile' | 'filesFor' | 'originAddress'>;
  /** The files a job of a definition makes for the window that begins at `from`. */
  readonly files: (definition: string, from: Date, job: JobView) => readonly FileSpec[];
  /** Over the common settings of `worker`. */
  readonly worker?: Settings;
}

/** Where connections of the workers can be broken. */
export type Border = 'postgres' | 's3' | 'api' | 'origin';

export interface Arena {
  readonly sim: Simulator;
  readonly proxies: Readonly<Record<Border, TcpProxy>>;
  /** What stands before S3 and understands it. */
  readonly s3: RecordingProxy;
  /** The simulated upstream's log. */
  readonly log: string;
  /** A way to Postgres that nothing breaks. */
  readonly database: Pool;
  readonly folder: string;
  readonly processes: readonly Running[];
  configure(definitions: Readonly<Record<string, Settings>>): Promise<string>;
  start(config: string, ...args: string[]): Running;
  run(config: string, ...args: string[]): Promise<Ended>;
  sql<Row extends QueryResultRow>(text: string, values?: unknown[]): Promise<Row[]>;
  /** Waits until the query has a row, and returns the first. Rejects when a minute or two have passed. */
  row<Row extends QueryResultRow>(text: string, values?: unknown[]): Promise<Row>;
  facts(expected: readonly Expectation[]): Promise<Facts>;
  /** What every process has printed. */
  said(): string;
  stop(): Promise<void>;
}

/** Generous: a condition that holds ends the wait at once. */
const patienceMs = 120_000;

/** Waits until a condition holds. Rejects after two minutes. */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  patience = patienceMs,
): Promise<void> {
  const deadline = performance.now() + patience;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`waited in vain until ${what}`);
    await sleep(50);
  }
}

function addressOf(text: string): Address {
  const { hostname, port, protocol } = new URL(text);
  return { host: hostname, port: Number(port || (protocol.startsWith('postgres') ? 5432 : 80)) };
}

export async function startArena(options: ArenaOptions): Promise<Arena> {
  const { ground } = options;
  const home = await mkdtemp(join(tmpdir(), 'udm-sync-arena-'));
  const database = options.database ?? (await createTestDatabase(ground.postgres));
  const pool = new Pool({ connectionString: database.url, max: 3 });
  // A server that is stopped on purpose ends our sessions too.
  pool.on('error', () => undefined);
  const log = join(home, 'upstream.jsonl');

  const { endpoint, region, credentials, kind } = ground.s3;
  const client = new S3Client({ endpoint, region, credentials: { ...credentials }, forcePathStyle: true });
  const toFolder = options.sink === 'folder';
  const bucket = toFolder ? '' : await ground.s3.createBucket();
  const folder = options.folder ?? join(home, 'stored');
  if (toFolder) await mkdir(folder, { recursive: true });
  const storage: Storage = toFolder
    ? { kind: 'folder', folder }
    : { kind: 's3', client, bucket, listsUploads: kind === 'ceph' };

  const targets = new Map<Border, Address>();
  const lead = (border: Border) => () => {
    const target = targets.get(border);
    if (!target) throw new Error(`${border} leads nowhere yet`);
    return target;
  };
  const s3 = await startRecordingProxy(endpoint);
  const proxies = {
    postgres: await startTcpProxy(lead('postgres')),
    s3: await startTcpProxy(lead('s3')),
    api: await startTcpProxy(lead('api')),
    origin: await startTcpProxy(lead('origin')),
  };
  const sim = await startSimulator({
    // An export takes half a second.
    speed: 60,
    exportDuration: 30_000,
    maxPageSize: 7,
    shape: 'mixed',
    ...options.simulator,
    logFile: log,
    originAddress: `http://127.0.0.1:${proxies.origin.address.port}`,
    filesFor: (job, { from }) =>
      options.files(/udm-sync (\S+)/.exec(job.title)?.[1] ?? '', from ?? new Date(0), job),
  });
  targets.set('postgres', addressOf(database.url));
  targets.set('s3', addressOf(s3.endpoint));
  targets.set('api', addressOf(sim.baseUrl));
  targets.set('origin', addressOf(sim.originUrl));

  const databaseUrl = new URL(proxies.postgres.url(database.url));
  databaseUrl.search = options.databaseParameters ?? '';
  const common = {
    database: { url: databaseUrl.href, poolSize: 4, migrate: false },
    tenants: {
      demo: {
        baseUrl: proxies.api.url(sim.baseUrl),
        apiKey: 'demo-api-key',
        auth: {
          grant: 'password',
          clientId: 'demo-client',
          clientSecret: 'demo-client-secret',
          username: String.raw`demo\export`,
          password: 'demo-password',
        },
        limits: { requestsPerSecond: 500, exports: 8, transfers: 16 },
        requestTimeout: '2s',
      },
    },
    sinks: {
      lake: toFolder
        ? { type: 'filesystem', directory: folder }
        : {
            type: 's3',
            bucket,
            prefix,
            region,
            endpoint: proxies.s3.url(endpoint),
            forcePathStyle: true,
            accessKeyId: credentials.accessKeyId,
            secretAccessKey: credentials.secretAccessKey,
            partSize: '5MiB',
          },
    },
    // Many workers run at once on this machine.
    page: { enabled: false },
    metrics: { port: 0 },
    worker: {
      shutdownGrace: '1s',
      poll: { min: '100ms', max: '300ms' },
      createSettle: '1s',
      collectSettle: '100ms',
      ...options.worker,
    },
  };
  const processes: Running[] = [];

  const arena: Arena = {
    sim,
    proxies,
    s3,
    log,
    database: pool,
    folder,
    processes,
    async configure(definitions) {
      const file = join(home, 'udm-sync.yaml');
      const shared = { tenant: 'demo', sink: 'lake', source: 'UCSX', type: 'contacts' };
      const schedule = { cron: '0 0 1 1 *' };
      const retry = { attempts: 5, minDelay: '100ms', maxDelay: '500ms' };
      const whole = Object.entries(definitions).map(([name, each]) => [
        name,
        { ...shared, schedule, retry, ...each },
      ]);
      await writeFile(file, stringify({ ...common, definitions: Object.fromEntries(whole) as unknown }));
      return file;
    },
    start(config, ...args) {
      const running = start(ground.main, [...args, '-c', config], { TMPDIR: home });
      processes.push(running);
      return running;
    },
    run: (config, ...args) => arena.start(config, ...args).ended,
    sql: async <Row extends QueryResultRow>(text: string, values: unknown[] = []) =>
      (await pool.query<Row>(text, values)).rows,
    async row<Row extends QueryResultRow>(text: string, values: unknown[] = []) {
      let first: Row | undefined;
      await until(text, async () => {
        // Its server may be down at this moment.
        [first] = await arena.sql<Row>(text, values).catch(() => []);
        return first !== undefined;
      });
      if (!first) throw new Error('unreachable');
      return first;
    },
    facts: (expected) => collectFacts({ log, database: pool, storages: [storage], expected }),
    said: () => processes.map((each) => `--- ${each.pid} ${each.command}\n${each.said()}`).join('\n'),
    async stop() {
      for (const each of processes) each.signal('SIGKILL');
      await Promise.all(processes.map((each) => each.ended));
      for (const proxy of Object.values(proxies)) await proxy.stop();
      await s3.stop();
      await sim.close();
      await pool.end();
      await database.drop();
      if (!toFolder) await empty(client, bucket);
      client.destroy();
      await rm(home, { recursive: true, force: true });
    },
  };
  return arena;
}

/** The servers of tests keep objects in memory. */
async function empty(client: S3Client, Bucket: string): Promise<void> {
  for (;;) {
    const { Contents: found = [] } = await client.send(new ListObjectsV2Command({ Bucket }));
    if (found.length === 0) return;
    const Objects = found.map(({ Key = '' }) => ({ Key }));
    await client.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects, Quiet: true } }));
  }
}
