import { createHmac, timingSafeEqual } from 'node:crypto';

/** Signs and checks the URLs of the S3 origin. Looks like SigV4; the signature covers path, date and lifetime. */
export interface Presigner {
  /** @param at simulated ms, the moment of signing. @param lifetime simulated seconds. */
  sign(origin: string, tenant: string, name: string, at: number, lifetime: number): string;
  check(path: string, query: URLSearchParams, now: number): 'ok' | 'bad-signature' | 'expired';
}

export function createPresigner(seed: string): Presigner {
  const mac = (path: string, query: URLSearchParams) =>
    createHmac('sha256', `presign ${seed}`)
      .update(
        [
          'GET',
          path,
          ...['Algorithm', 'Credential', 'Date', 'Expires'].map((p) => query.get(`X-Amz-${p}`)),
        ].join('\n'),
      )
      .digest('hex');
  return {
    sign(origin, tenant, name, at, lifetime) {
      const path = `/${bucketOf(tenant)}/${encodeURIComponent(name)}`;
      const date = new Date(at).toISOString().replace(/[-:]|\.\d+/g, '');
      const query = new URLSearchParams({
        'X-Amz-Algorithm': 'AWS4-HMAC-SHA256',
        'X-Amz-Credential': `SIMULATED/${date.slice(0, 8)}/us-east-1/s3/aws4_request`,
        'X-Amz-Date': date,
        'X-Amz-Expires': String(lifetime),
        'X-Amz-SignedHeaders': 'host',
      });
      query.set('X-Amz-Signature', mac(path, query));
      return `${origin}${path}?${query.toString()}`;
    },
    check(path, query, now) {
      const given = Buffer.from(query.get('X-Amz-Signature') ?? '');
      const wanted = Buffer.from(mac(path, query));
      if (given.length !== wanted.length || !timingSafeEqual(given, wanted)) return 'bad-signature';
      const signedAt = Date.parse(
        (query.get('X-Amz-Date') ?? '').replace(/^(....)(..)(..)T(..)(..)(..)Z$/, '$1-$2-$3T$4:$5:$6Z'),
      );
      return now > signedAt + Number(query.get('X-Amz-Expires')) * 1000 ? 'expired' : 'ok';
    },
  };
}

export function bucketOf(tenant: string): string {
  return `udm-export-${encodeURIComponent(tenant)}`;
}
