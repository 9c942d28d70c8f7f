import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { startFauxqs } from 'fauxqs';
import { stringify } from 'yaml';
import { startSimulator } from '../simulator/server.ts';
import type { FileSpec, JobView, JobWindow } from '../simulator/options.ts';

export const bucket = 'udm-sync-demo';
const s3Key = { accessKeyId: 'demo', secretAccessKey: 'demo-secret' };
const hourMs = 3_600_000;

export interface DemoParts {
  readonly folder: string;
  readonly configFile: string;
  readonly config: string;
  readonly s3: S3Client;
  readonly s3Endpoint: string;
  readonly simulatorUrl: string;
  stop(): Promise<void>;
}

/** Starts what a real deployment has outside: a UDM tenant and S3, and writes a config that names them. */
export async function startParts(): Promise<DemoParts> {
  const folder = await mkdtemp(join(tmpdir(), 'udm-sync-demo-'));
  // As root, PostgreSQL runs as another user, who must be able to pass.
  await chmod(folder, 0o711);
  // Exports that take a minute upstream take two seconds here.
  const simulator = await startSimulator({ seed: 'demo', speed: 30, exportDuration: 60_000, filesFor });
  const server = await startFauxqs({ port: 0, logger: false, s3StorageDir: join(folder, 's3') });
  const s3Endpoint = `http://127.0.0.1:${server.port}`;
  const s3 = new S3Client({
    endpoint: s3Endpoint,
    region: 'us-east-1',
    credentials: { ...s3Key },
    forcePathStyle: true,
  });
  await s3.send(new CreateBucketCommand({ Bucket: bucket }));
  const configFile = join(folder, 'udm-sync.yaml');
  const config = stringify(demoConfig(simulator.baseUrl, s3Endpoint, folder));
  await writeFile(configFile, config, { mode: 0o600 });
  return {
    folder,
    configFile,
    config,
    s3,
    s3Endpoint,
    simulatorUrl: simulator.baseUrl,
    async stop() {
      s3.destroy();
      await server.stop();
      await simulator.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Contacts come as one file, interactions as a split set of three. */
function filesFor(job: JobView, { from }: JobWindow): FileSpec[] {
  const stamp = (from ?? new Date(0)).toISOString().slice(0, 16).replaceAll(/\D/g, '');
  const name = `${job.source}-${job.type}-${stamp}-${job.id}`;
  if (job.type !== 'interactions')
    return [{ name: `${name}.zip.smime`, size: 700_000 + (Number(stamp.slice(-4)) % 97) * 9_000 }];
  return [1, 2, 3].map((part) => ({
    name: `${name}-part-000${part}-of-0003.zip.smime`,
    size: part < 3 ? 12 * 1024 * 1024 : 5_000_000,
  }));
}

function demoConfig(baseUrl: string, endpoint: string, folder: string): unknown {
  const start = new Date(Math.floor(Date.now() / hourMs) * hourMs - 4 * hourMs);
  const common = { tenant: 'demo', sink: 'lake', source: 'UCSX', retry: { minDelay: '1s', maxDelay: '5s' } };
  return {
    database: { dataDir: join(folder, 'postgres') },
    tenants: {
      demo: {
        baseUrl,
        apiKey: 'demo-api-key',
        auth: {
          grant: 'password',
          clientId: 'demo-client',
          clientSecret: 'demo-client-secret',
          username: 'demo\\export',
          password: 'demo-password',
        },
        limits: { requestsPerSecond: 100, exports: 4, transfers: 8 },
      },
    },
    sinks: { lake: { type: 's3', bucket, endpoint, region: 'us-east-1', forcePathStyle: true, ...s3Key } },
    definitions: {
      'contacts-hourly': {
        ...common,
        type: 'contacts',
        schedule: { cron: '*/2 * * * * *', timeZone: 'UTC' },
        windows: { length: '1h', start: start.toISOString(), catchUp: 3 },
      },
      'interactions-hourly': {
        ...common,
        type: 'interactions',
        attachments: true,
        fileSplitSize: '12',
        schedule: { cron: '*/3 * * * * *', timeZone: 'Europe/Berlin' },
        windows: { length: '1h', start: new Date(start.getTime() + 2 * hourMs).toISOString(), catchUp: 2 },
        delete: 'files-and-job',
      },
    },
    worker: {
      poll: { min: '700ms', max: '2s' },
      collectSettle: '500ms',
      createSettle: '2s',
      shutdownGrace: '5s',
    },
    log: { level: 'warn' },
  };
}
