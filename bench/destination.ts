import { randomUUID } from 'node:crypto';
import {
  CreateBucketCommand,
  DeleteObjectsCommand,
  HeadObjectCommand,
  paginateListObjectsV2,
  S3Client,
} from '@aws-sdk/client-s3';
import { credentials as cephCredentials, cephInstalled, startCeph } from '../test/support/s3.ts';
import { startServerProcess } from './servers/server-process.ts';

/** An S3 server that contenders write to. */
export interface Destination extends AsyncDisposable {
  readonly kind: DestinationKind;
  /** Where a client writes, and as whom. */
  readonly address: {
    readonly endpoint: string;
    readonly region: string;
    readonly bucket: string;
    readonly accessKeyId: string;
    readonly secretAccessKey: string;
  };
  /** Bytes of an object, as the server tells. Rejects if it is not there. */
  sizeOf(key: string): Promise<number>;
  /** Removes every object. */
  clear(): Promise<void>;
  /** CPU seconds of the server so far; undefined where it is several processes. */
  cpuSeconds(): number | undefined;
}

export type DestinationKind = 'null' | 'ceph';

const region = 'us-east-1';

/** Starts the sink that keeps nothing, or a Ceph RGW; undefined where Ceph is not installed. */
export async function startDestination(kind: DestinationKind): Promise<Destination | undefined> {
  if (kind === 'ceph' && !cephInstalled()) return undefined;
  const server = kind === 'ceph' ? await startCephServer() : await startNullServer();
  const { endpoint } = server;
  const client = new S3Client({
    endpoint,
    region,
    credentials: { ...cephCredentials },
    forcePathStyle: true,
  });
  const bucket = `bench-${randomUUID()}`;
  await client.send(new CreateBucketCommand({ Bucket: bucket }));
  return {
    kind,
    address: { endpoint, region, bucket, ...cephCredentials },
    async sizeOf(key) {
      const head = await client.send(new HeadObjectCommand({ Bucket: bucket, Key: key }));
      return head.ContentLength ?? 0;
    },
    async clear() {
      if (kind === 'null') await fetch(`${endpoint}/_bench`, { method: 'DELETE' });
      else await removeAll(client, bucket);
    },
    cpuSeconds: () => server.cpuSeconds?.(),
    async [Symbol.asyncDispose]() {
      client.destroy();
      await server.stop();
    },
  };
}

interface Server {
  readonly endpoint: string;
  cpuSeconds?(): number;
  stop(): Promise<void>;
}

async function startNullServer(): Promise<Server> {
  const server = await startServerProcess('s3-sink.ts');
  return {
    endpoint: server.url,
    cpuSeconds: () => server.cpuSeconds(),
    async stop() {
      await server[Symbol.asyncDispose]();
    },
  };
}

async function startCephServer(): Promise<Server> {
  const ceph = await startCeph();
  return { endpoint: ceph.endpoint, stop: () => ceph.stop() };
}

async function removeAll(client: S3Client, bucket: string): Promise<void> {
  for await (const { Contents = [] } of paginateListObjectsV2({ client }, { Bucket: bucket })) {
    const Objects = Contents.flatMap(({ Key }) => (Key === undefined ? [] : [{ Key }]));
    if (Objects.length > 0)
      await client.send(new DeleteObjectsCommand({ Bucket: bucket, Delete: { Objects, Quiet: true } }));
  }
}
