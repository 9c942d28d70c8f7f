import { createHash, createHmac } from 'node:crypto';
import type { Errand } from './client.ts';

/**
 * Signs one S3 request in its URL (SigV4, unsigned payload), without an SDK. For the floor, which must not pay for one.
 *
 * @param query in alphabetical order, as `name=value`, already encoded; each name sorts after `X-Amz-…`
 */
export function presign(errand: Errand, method: string, query: readonly string[]): URL {
  const { endpoint, bucket, key, region, accessKeyId, secretAccessKey } = errand;
  const url = new URL(`${endpoint}/${bucket}/${key}`);
  const now = new Date().toISOString().replaceAll(/[-:]|\.\d+/g, '');
  const day = now.slice(0, 8);
  const scope = `${day}/${region}/s3/aws4_request`;
  const signed = [
    'X-Amz-Algorithm=AWS4-HMAC-SHA256',
    `X-Amz-Credential=${encodeURIComponent(`${accessKeyId}/${scope}`)}`,
    `X-Amz-Date=${now}`,
    'X-Amz-Expires=3600',
    'X-Amz-SignedHeaders=host',
    ...query,
  ].join('&');
  const request = [method, url.pathname, signed, `host:${url.host}`, '', 'host', 'UNSIGNED-PAYLOAD'].join(
    '\n',
  );
  const digest = createHash('sha256').update(request).digest('hex');
  const text = ['AWS4-HMAC-SHA256', now, scope, digest].join('\n');
  const secret = [day, region, 's3', 'aws4_request'].reduce<string | Buffer>(
    (hmacKey, part) => createHmac('sha256', hmacKey).update(part).digest(),
    `AWS4${secretAccessKey}`,
  );
  url.search = `${signed}&X-Amz-Signature=${createHmac('sha256', secret).update(text).digest('hex')}`;
  return url;
}
