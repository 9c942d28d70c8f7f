import { randomBytes, randomUUID } from 'node:crypto';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import type { QueryResultRow } from 'pg';
import { vi } from 'vitest';
import { stringify } from 'yaml';
import { startSimulator } from '../../simulator/server.ts';
import type { Simulator, SimulatorOptions, TenantCredentials } from '../../simulator/server.ts';
import { createTestDatabase } from '../support/postgres.ts';
import type { S3Credentials, S3Server } from '../support/s3.ts';
import { forbid, start } from './processes.ts';
import type { Ended, Running } from './processes.ts';

// A test runs up to ten commands, of a second or two each where nothing else is going on.
vi.setConfig({ testTimeout: 150_000 });

/** Credentials that give themselves away wherever they are printed. */
export const tenant: TenantCredentials = {
  name: 'acme',
  apiKey: 'planted-api-key-5c1e',
  clientId: 'acme-client',
  clientSecret: 'planted-client-secret-8f0b',
  username: 'exporter',
  password: 'planted-user-password-3d77',
};

/** A section of a config file, as it is written. */
export type Settings = Record<string, unknown>;

/** A folder with a config file, a simulated upstream and a database: what a user has. */
export interface Place extends AsyncDisposable {
  readonly folder: string;
  readonly simulator: Simulator;
  /** Connection string of a user of its own. */
  readonly databaseUrl: string;
  /** Writes udm-sync.yaml: the usual one, with whole sections replaced. */
  configure(sections?: Settings): Promise<void>;
  /** Runs `udm-sync …` in the folder to its end. */
  run(args: string, env?: Readonly<Record<string, string>>): Promise<Ended>;
  /** The same for arguments with blanks in them. */
  runWith(args: readonly string[], env?: Readonly<Record<string, string>>): Promise<Ended>;
  start(args: string, env?: Readonly<Record<string, string>>): Running;
  sql<Row extends QueryResultRow>(text: string): Promise<Row[]>;
}

/** The usual tenant, sinks and definitions; times are short, since the upstream is quick. */
export function usualConfig(baseUrl: string, databaseUrl: string) {
  return {
    database: { url: databaseUrl, poolSize: 4 },
    tenants: {
      acme: {
        baseUrl,
        apiKey: tenant.apiKey,
        auth: {
          grant: 'password',
          clientId: tenant.clientId,
          clientSecret: tenant.clientSecret,
          username: `${tenant.name}\\${tenant.username}`,
          password: tenant.password,
        },
        limits: { requestsPerSecond: 1000, exports: 20 },
      },
    },
    sinks: { disk: { type: 'filesystem', directory: './stored' } },
    definitions: { contacts: definition() },
    // Many workers run at once on this machine.
    page: { enabled: false },
    metrics: { port: 0 },
    worker: {
      poll: { min: '20ms', max: '100ms' },
      collectSettle: '20ms',
      createSettle: '20ms',
      shutdownGrace: '2s',
    },
  } satisfies Settings;
}

/** A definition over days, since no day ends while a test runs. */
export function definition(more: Settings = {}): Settings {
  return {
    tenant: 'acme',
    sink: 'disk',
    source: 'UCSX',
    type: 'Contacts',
    windows: { length: '1d', lag: '0s' },
    retry: { attempts: 2, minDelay: '10ms', maxDelay: '20ms' },
    ...more,
  };
}

/** A sink in a bucket of a test server. */
export function s3Sink(
  { endpoint, region, credentials }: S3Server,
  bucket: string,
  { accessKeyId, secretAccessKey }: S3Credentials = credentials,
): Settings {
  return { type: 's3', bucket, endpoint, region, forcePathStyle: true, accessKeyId, secretAccessKey };
}

/** The definition that an upstream job was made for. */
export function definitionIn(title: string): string {
  return /udm-sync (\S+) /.exec(title)?.[1] ?? '';
}

/** Makes a place; its upstream finishes exports at once unless told otherwise. */
export async function makePlace(options: SimulatorOptions = {}): Promise<Place> {
  const folder = await mkdtemp(join(tmpdir(), 'udm-sync-cli-'));
  // An embedded Postgres started by root runs as another user, who has to pass.
  await chmod(folder, 0o711);
  const simulator = await startSimulator({
    tenants: [tenant],
    exportDuration: 0,
    fileSize: [1000, 5000],
    ...options,
  });
  const database = await createTestDatabase();
  const role = `cli_${randomUUID().replaceAll('-', '')}`;
  const password = `planted-database-password-${randomBytes(6).toString('hex')}`;
  forbid(tenant.apiKey, tenant.clientSecret, tenant.password, password);
  const admin = new Client({ connectionString: database.url });
  await admin.connect();
  await admin.query(`create role ${role} login superuser password '${password}'`);
  const url = new URL(database.url);
  url.username = role;
  url.password = password;

  const place: Place = {
    folder,
    simulator,
    databaseUrl: url.href,
    async configure(sections = {}) {
      const config = { ...usualConfig(simulator.baseUrl, url.href), ...sections };
      await writeFile(join(folder, 'udm-sync.yaml'), stringify(config));
    },
    run: (args, env) => place.start(args, env).ended,
    runWith: (args, env) => start(args, { cwd: folder, ...(env ? { env } : {}) }).ended,
    start: (args, env) => start(args.split(' '), { cwd: folder, ...(env ? { env } : {}) }),
    sql: async <Row extends QueryResultRow>(text: string) => (await admin.query<Row>(text)).rows,
    async [Symbol.asyncDispose]() {
      await admin.query(`drop role ${role}`).catch(() => undefined);
      await admin.end();
      await simulator.close();
      await database.drop();
      await rm(folder, { recursive: true, force: true });
    },
  };
  await place.configure();
  return place;
}
