/** The plain way in Node: got's stream into the Upload of @aws-sdk/lib-storage, 8 MiB × 4, nothing else changed. */
import { S3Client } from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import got from 'got';
import { readErrand, reportReady } from './client.ts';

const { errand } = readErrand();
const { endpoint, region, accessKeyId, secretAccessKey, bucket, key } = errand;
const credentials = { accessKeyId, secretAccessKey };
const client = new S3Client({ endpoint, region, credentials, forcePathStyle: true });
reportReady();
await new Upload({
  client,
  params: { Bucket: bucket, Key: key, Body: got.stream(errand.url) },
  partSize: 8 * 1024 * 1024,
  queueSize: 4,
}).done();
client.destroy();
