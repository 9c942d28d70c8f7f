import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';

import { S3Client } from '@aws-sdk/client-s3';
import { NodeHttpHandler } from '@smithy/node-http-handler';

import { leavePayloadUnsigned } from './payload-signing.ts';
import { s3Error } from './s3-errors.ts';
import type { S3Operation } from './s3-errors.ts';
import { traceCalls } from './s3-traces.ts';

/** Where an S3 sink writes and how. */
export interface S3SinkOptions {
  readonly bucket: string;
  /** Put before every key, with a `/` between. */
  readonly prefix?: string;
  /** Default: AWS_REGION or the shared config file; `us-east-1` when an endpoint is given. */
  readonly region?: string;
  /** For any S3-compatible store, e.g. `https://minio.example.com:9000`. Default: AWS. */
  readonly endpoint?: string;
  /** `https://host/bucket/key` instead of `https://bucket.host/key`. */
  readonly forcePathStyle?: boolean;
  /** Default: the SDK's chain: environment, shared files, IRSA, ECS and EC2 roles. */
  readonly credentials?: {
    readonly accessKeyId: string;
    readonly secretAccessKey: string;
    readonly sessionToken?: string;
  };
  readonly sse?: {
    readonly type: 'AES256' | 'aws:kms';
    readonly kmsKeyId?: string;
    readonly bucketKey?: boolean;
  };
  /** E.g. `STANDARD_IA`, `INTELLIGENT_TIERING`. */
  readonly storageClass?: string;
  /** Preferred size of a part in bytes, 5 MiB to 1 GiB. Default 8 MiB. A body of no more than this is one PUT. */
  readonly partSize?: number;
  /** Most parts of one object in flight at a time. Default 8. Memory for one put in a stream is partSize × (concurrency + 1). */
  readonly concurrency?: number;
  /** 12-digit account id; S3 refuses every call if the bucket belongs to another account. */
  readonly expectedBucketOwner?: string;
  /**
   * Whether requests sign the SHA-256 of the bytes they carry. `auto`: only where TLS does not protect them already;
   * hashing costs more than all else that a transfer does (docs/benchmarks.md).
   */
  readonly signPayload?: 'auto' | 'always' | 'never';
  /** An attempt fails when no byte has moved for so many ms. Default 120,000. */
  readonly requestTimeoutMs?: number;
}

const connectionTimeoutMs = 5_000;

function createClient(options: S3SinkOptions): S3Client {
  // A request that waits for a socket counts as connecting, so none may wait; the number of parts in flight is
  // the limit. Agents of our own also keep the SDK from opening a new connection for each large part.
  const agent = { keepAlive: true, maxSockets: Infinity };
  const region = options.region ?? (options.endpoint === undefined ? undefined : 'us-east-1');
  const client = new S3Client({
    ...(region === undefined ? {} : { region }),
    ...(options.endpoint === undefined ? {} : { endpoint: options.endpoint }),
    ...(options.credentials === undefined ? {} : { credentials: options.credentials }),
    forcePathStyle: options.forcePathStyle ?? false,
    retryMode: 'standard',
    maxAttempts: 5,
    // We compute checksums ourselves and send them as headers; the SDK's trailers are refused by Ceph RGW.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    expectContinueHeader: false,
    requestHandler: new NodeHttpHandler({
      httpAgent: new HttpAgent(agent),
      httpsAgent: new HttpsAgent(agent),
      connectionTimeout: connectionTimeoutMs,
      socketTimeout: options.requestTimeoutMs ?? 120_000,
    }),
  });
  leavePayloadUnsigned(client, options.signPayload ?? 'auto');
  traceCalls(client);
  return client;
}

/** One bucket, the client that talks to it, and what every call to it has in common. */
export class S3Bucket {
  readonly client: S3Client;
  readonly #bucket: string;
  /** Parameters of every call. */
  readonly common: { readonly Bucket: string; readonly ExpectedBucketOwner?: string };

  constructor(options: S3SinkOptions) {
    this.client = createClient(options);
    this.#bucket = options.bucket;
    this.common = {
      Bucket: options.bucket,
      ...(options.expectedBucketOwner === undefined
        ? {}
        : { ExpectedBucketOwner: options.expectedBucketOwner }),
    };
  }

  /** `s3://bucket/key`, for people. */
  uri(key: string): string {
    return `s3://${this.#bucket}/${key}`;
  }

  /**
   * Runs one call and raises its failure as an error of ours, or the signal's reason if that is why it failed.
   *
   * @throws {SinkError}
   */
  async call<T>(
    operation: S3Operation,
    key: string,
    signal: AbortSignal | undefined,
    work: () => Promise<T>,
  ) {
    try {
      return await work();
    } catch (error) {
      signal?.throwIfAborted();
      throw s3Error(error, operation, this.uri(key));
    }
  }
}

/** The entity tag without its quotes; undefined where the store sends none or an empty one. */
export function bareEtag(etag: string | undefined): { etag?: string } {
  const bare = etag?.replaceAll('"', '');
  return bare ? { etag: bare } : {};
}
