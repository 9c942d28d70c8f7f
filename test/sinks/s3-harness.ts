import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

import {
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3';

import { createS3Sink } from '../../src/sinks/s3.ts';
import type { S3SinkOptions } from '../../src/sinks/s3.ts';
import type { S3Server } from '../support/s3.ts';
import { MiB } from './bodies.ts';
import type { Harness } from './conformance.ts';

export const partSize = 5 * MiB;
export const concurrency = 2;

/** The options of a sink in a bucket of a test server. */
export function optionsFor(server: S3Server, bucket: string, endpoint = server.endpoint): S3SinkOptions {
  const { region, credentials } = server;
  return { bucket, region, endpoint, credentials, forcePathStyle: true, partSize, concurrency };
}

/** A plain client, to look behind the sink's back. */
export function plainClient({ endpoint, region, credentials }: S3Server): S3Client {
  return new S3Client({ endpoint, region, credentials, forcePathStyle: true });
}

/** A sink in a new bucket of the server, for the contract's suite. Stops the server when closed. */
export async function s3Harness(server: S3Server): Promise<Harness> {
  const bucket = await server.createBucket();
  const client = plainClient(server);
  const prefix = 'some/where';
  return {
    sink: createS3Sink('bucket', { ...optionsFor(server, bucket), prefix }),
    partSize,
    outstanding: partSize * (concurrency + 1),
    keepsMetadata: true,
    sweeps: server.kind === 'ceph',
    memoryIsOurs: server.kind === 'ceph',
    async leaveUnfinished(key, bytes) {
      const object = { Bucket: bucket, Key: `${prefix}/${key}` };
      const { UploadId } = await client.send(new CreateMultipartUploadCommand(object));
      await client.send(
        new UploadPartCommand({ ...object, UploadId, PartNumber: 1, Body: Buffer.alloc(bytes) }),
      );
    },
    async countUnfinished() {
      if (server.storageDir !== undefined)
        return (await readdir(join(server.storageDir, '_multipart'))).length;
      const list = await client.send(new ListMultipartUploadsCommand({ Bucket: bucket }));
      return list.Uploads?.length ?? 0;
    },
    async close() {
      client.destroy();
      await server.stop();
    },
  };
}
