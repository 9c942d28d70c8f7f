import { spawn, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { once } from 'node:events';

import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { startFauxqs } from 'fauxqs';

export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

/** An S3 server for tests. */
export interface S3Server {
  readonly kind: 'fauxqs' | 'ceph';
  readonly endpoint: string;
  readonly region: string;
  readonly credentials: S3Credentials;
  /** A user without any right to the buckets; only Ceph checks who asks. */
  readonly stranger: S3Credentials;
  /** Where fauxqs keeps bodies and unfinished uploads as files. */
  readonly storageDir?: string;
  /** Makes an empty bucket with a name of its own. */
  createBucket(): Promise<string>;
  stop(): Promise<void>;
}

/** Set by whoever has started a Ceph RGW for the whole test run. */
export const cephEndpointVariable = 'UDM_SYNC_TEST_CEPH_ENDPOINT';

const region = 'us-east-1';
/** Of the user who owns the buckets. */
export const credentials = { accessKeyId: 'udm-sync-test', secretAccessKey: 'udm-sync-test-secret' };
const stranger = { accessKeyId: 'udm-sync-stranger', secretAccessKey: 'udm-sync-stranger-secret' };
const script = join(import.meta.dirname, 'ceph-rgw.sh');

export function cephInstalled(): boolean {
  return ['radosgw', 'ceph-mon', 'ceph-osd'].every(
    (program) => spawnSync('/bin/sh', ['-c', `command -v ${program}`]).status === 0,
  );
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  try {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    return true;
  } catch {
    return false;
  } finally {
    server.close();
  }
}

/** The first of three free ports in a row, below those that the system hands out itself. */
async function freePorts(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    if ((await Promise.all([port, port + 1, port + 2].map(isFree))).every(Boolean)) return port;
  }
}

/** Starts a Ceph RGW that ends with this process at the latest. */
export async function startCeph(): Promise<{ endpoint: string; stop(): Promise<void> }> {
  const directory = await mkdtemp(join(tmpdir(), 'udm-sync-ceph-'));
  const port = await freePorts();
  const child = spawn(script, ['run', directory, String(port)], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  const endpoint = await Promise.race([
    once(createInterface(child.stdout), 'line').then(([line]) => String(line)),
    ended.then(() => undefined),
  ]);
  if (endpoint === undefined) throw new Error('Ceph RGW did not start; what it said is above');
  return {
    endpoint,
    async stop() {
      child.stdin.end();
      await ended;
    },
  };
}

function bucketMaker(endpoint: string): () => Promise<string> {
  return async () => {
    const client = new S3Client({ endpoint, region, credentials: { ...credentials }, forcePathStyle: true });
    try {
      const name = `udm-sync-${randomUUID()}`;
      await client.send(new CreateBucketCommand({ Bucket: name }));
      return name;
    } finally {
      client.destroy();
    }
  };
}

async function startOnCeph(): Promise<S3Server> {
  const shared = process.env[cephEndpointVariable];
  const server =
    shared === undefined ? await startCeph() : { endpoint: shared, stop: () => Promise.resolve() };
  const { endpoint } = server;
  return {
    kind: 'ceph',
    endpoint,
    region,
    credentials,
    stranger,
    createBucket: bucketMaker(endpoint),
    stop: () => server.stop(),
  };
}

async function startOnFauxqs(): Promise<S3Server> {
  const storageDir = await mkdtemp(join(tmpdir(), 'udm-sync-fauxqs-'));
  const server = await startFauxqs({ port: 0, logger: false, s3StorageDir: storageDir });
  const endpoint = `http://127.0.0.1:${String(server.port)}`;
  return {
    kind: 'fauxqs',
    endpoint,
    region,
    credentials,
    stranger,
    storageDir,
    createBucket: bucketMaker(endpoint),
    async stop() {
      await server.stop();
      await rm(storageDir, { recursive: true });
    },
  };
}

/**
 * Starts an S3 server for tests: `auto` is Ceph RGW where it is installed (the one that runs already, if
 * UDM_SYNC_TEST_CEPH_ENDPOINT says where), else fauxqs in this process. Prints which.
 */
export async function startS3Server(kind: 'auto' | 'fauxqs' | 'ceph' = 'auto'): Promise<S3Server> {
  const onCeph = kind === 'ceph' || (kind === 'auto' && cephInstalled());
  const server = onCeph ? await startOnCeph() : await startOnFauxqs();
  console.log(`S3 of this test: ${server.kind} at ${server.endpoint}`);
  return server;
}
