import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { S3Client } from '@aws-sdk/client-s3';
import { Pool } from 'pg';
import type { QueryResultRow } from 'pg';
import { inject, vi } from 'vitest';
import { stringify } from 'yaml';
import { collectFacts } from '../auditor/facts.ts';
import type { Adopted, Expectation, Facts } from '../auditor/facts.ts';
import { lastWindows as windowsBefore } from '../faults/windows.ts';
import { startRecordingProxy } from '../sinks/recording-proxy.ts';
import type { RecordingProxy } from '../sinks/recording-proxy.ts';
import { createTestDatabase } from '../support/postgres.ts';
import { startS3Server } from '../support/s3.ts';
import { buildCli } from './build.ts';
import { start } from './processes.ts';
import type { Ended, Running } from './processes.ts';
import { startUpstream } from './upstream.ts';
import type { Upstream } from './upstream.ts';
import { startWitness } from './witness.ts';

export const prefix = 'exports/e2e';
/** What the auditor puts before the keys of the sink `disk`, which has no prefix. */
export const diskPrefix = 'disk';
/** Generous: a condition that holds ends the wait at once. */
const patienceMs = 60_000;

/** The outside world of the built program: its upstream, its database, its bucket, and its processes. */
export interface World {
  readonly upstream: Upstream;
  readonly s3: S3Client;
  readonly bucket: string;
  /** Between the workers and the bucket. */
  readonly s3Proxy: RecordingProxy;
  /** Writes a config file with these definitions over the common settings, and returns its path. */
  configure(
    definitions: Readonly<Record<string, Definition>>,
    more?: Readonly<Record<string, unknown>>,
  ): Promise<string>;
  /** Starts `udm-sync …` and does not wait. */
  start(config: string, ...args: string[]): Running;
  /** The same with a module loaded before the program, and variables for it. */
  startWith(
    preload: string,
    env: Readonly<Record<string, string>>,
    config: string,
    ...args: string[]
  ): Running;
  /** Runs `udm-sync …` to its end. */
  run(config: string, ...args: string[]): Promise<Ended>;
  sql<Row extends QueryResultRow>(text: string, values?: unknown[]): Promise<Row[]>;
  /** Waits until the query has at least one row, and returns the first. */
  row<Row extends QueryResultRow>(text: string, values?: unknown[]): Promise<Row>;
  facts(expected: readonly Expectation[], adopted?: readonly Adopted[]): Promise<Facts>;
  /** Runs the auditor as the program of its own that it is. */
  auditor(expected: readonly Expectation[]): Promise<{ readonly code: number; readonly stdout: string }>;
  /** What every process has printed, for a test that failed. */
  said(): string;
  stop(): Promise<void>;
}

/** A definition of the config file; what is left out is the same for all. */
export type Definition = Readonly<Record<string, unknown>>;

export async function startWorld(): Promise<World> {
  const main = await buildCli(inject('testPostgres').url);
  const folder = await mkdtemp(join(tmpdir(), 'udm-sync-e2e-'));
  const database = await createTestDatabase();
  const pool = new Pool({ connectionString: database.url, max: 4 });
  // Dropping the database ends its sessions.
  pool.on('error', () => undefined);
  const server = await startS3Server();
  const bucket = await server.createBucket();
  const s3Proxy = await startRecordingProxy(server.endpoint);
  const { region } = server;
  const { accessKeyId, secretAccessKey } = server.credentials;
  const credentials = { accessKeyId, secretAccessKey };
  const s3 = new S3Client({ endpoint: server.endpoint, region, credentials, forcePathStyle: true });
  const log = join(folder, 'upstream.jsonl');
  const upstream = await startUpstream(log);
  const witness = await startWitness(upstream.url, pool);
  const processes: Running[] = [];

  const common = {
    database: { url: database.url, poolSize: 5 },
    tenants: {
      demo: {
        baseUrl: witness.url,
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
      lake: {
        type: 's3',
        bucket,
        prefix,
        region,
        endpoint: s3Proxy.endpoint,
        forcePathStyle: true,
        accessKeyId,
        secretAccessKey,
        partSize: '5MiB',
      },
      disk: { type: 'filesystem', directory: join(folder, 'disk') },
    },
    // Many workers run at once on this machine.
    page: { enabled: false },
    metrics: { port: 0 },
    worker: {
      shutdownGrace: '2s',
      poll: { min: '200ms', max: '500ms' },
      createSettle: '1s',
      collectSettle: '200ms',
    },
  };

  // Compiled once, the program starts faster every time after.
  const environment = { TMPDIR: folder, NODE_COMPILE_CACHE: join(folder, 'compiled') };
  const world: World = {
    upstream,
    s3,
    bucket,
    s3Proxy,
    async configure(definitions, more = {}) {
      const file = join(folder, `${Object.keys(definitions).join('-')}.yaml`);
      const shared = { tenant: 'demo', sink: 'lake', source: 'UCSX', type: 'contacts' };
      const retry = { attempts: 5, minDelay: '200ms', maxDelay: '1s' };
      const whole = Object.entries(definitions).map(([name, each]) => [name, { ...shared, retry, ...each }]);
      const text = stringify({ ...common, definitions: Object.fromEntries(whole) as unknown, ...more });
      await writeFile(file, text);
      return file;
    },
    start(config, ...args) {
      const running = start(main, [...args, '-c', config], environment);
      processes.push(running);
      return running;
    },
    startWith(preload, env, config, ...args) {
      const running = start(main, [...args, '-c', config], { ...environment, ...env }, [preload]);
      processes.push(running);
      return running;
    },
    run: (config, ...args) => world.start(config, ...args).ended,
    sql: async <Row extends QueryResultRow>(text: string, values: unknown[] = []) =>
      (await pool.query<Row>(text, values)).rows,
    async row<Row extends QueryResultRow>(text: string, values: unknown[] = []) {
      return vi.waitFor(
        async () => {
          const [first] = await world.sql<Row>(text, values);
          if (!first) throw new Error(`No row yet: ${text} (${values.join(', ')})`);
          return first;
        },
        { timeout: patienceMs, interval: 50 },
      );
    },
    facts: (expected, adopted = []) =>
      collectFacts({
        log,
        database: pool,
        storages: [
          { kind: 's3', client: s3, bucket, listsUploads: server.kind === 'ceph' },
          { kind: 'folder', folder: join(folder, 'disk'), prefix: diskPrefix },
        ],
        testimonies: witness.testimonies,
        expected,
        adopted,
      }),
    async auditor(expected) {
      const [expectFile, witnessFile] = [join(folder, 'expected.json'), join(folder, 'witness.jsonl')];
      await writeFile(expectFile, JSON.stringify(expected));
      await writeFile(witnessFile, witness.testimonies.map((each) => `${JSON.stringify(each)}\n`).join(''));
      const main = join(import.meta.dirname, '../auditor/main.ts');
      const where = ['--log', log, '--expect', expectFile, '--bucket', bucket, '--endpoint', server.endpoint];
      const { code, stdout, stderr } = await start(
        main,
        [...where, '--witness', witnessFile, ...(server.kind === 'ceph' ? [] : ['--no-uploads'])],
        {
          AWS_ACCESS_KEY_ID: accessKeyId,
          AWS_SECRET_ACCESS_KEY: secretAccessKey,
          AWS_REGION: region,
          DATABASE_URL: database.url,
        },
      ).ended;
      return { code: code ?? -1, stdout: stdout + stderr };
    },
    said: () => processes.map((each) => `--- ${each.pid} ${each.command}\n${each.said()}`).join('\n'),
    async stop() {
      for (const each of processes) each.signal('SIGKILL');
      await Promise.all(processes.map((each) => each.ended));
      await witness.stop();
      await upstream.stop();
      await s3Proxy.stop();
      s3.destroy();
      await server.stop();
      await pool.end();
      await database.drop();
      await rm(folder, { recursive: true, force: true });
    },
  };
  return world;
}

/** The last `count` complete windows, and settings that keep them the same for half a window to come. */
export const lastWindows = (definition: string, lengthMs: number, count: number, keysBegin = prefix) =>
  windowsBefore(definition, lengthMs, count, keysBegin);
