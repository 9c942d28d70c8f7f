import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { type Answer, xmlRefusal } from './answer.ts';
import { admit, finish, interrupted, splitUrl, type World } from './api.ts';
import { contentChunks, etagOf } from './content.ts';
import type { FiredFaults } from './faults.ts';
import { bucketOf } from './presign.ts';
import type { RequestRecord } from './records.ts';
import type { StoredFile, Tenant } from './tenant.ts';

/** Serves one request to the S3 origin: GET of a pre-signed URL, with the strictness of the real S3. */
export async function serveOrigin(world: World, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const [rawPath, rawQuery] = splitUrl(req.url ?? '/');
  const query = new URLSearchParams(rawQuery);
  const { tenant, name } = locate(world, rawPath);
  const { record, faults } = admit(world, 's3', req, '/s3/{filename}', `/s3/${name}`, query);
  record.tenant = tenant?.credentials.name;
  req.resume();
  if (await interrupted(faults, record, world.log, res)) return;
  const answer = answerOrigin(world, req, rawPath, query, tenant, name, faults, record);
  const bodiless = req.method === 'HEAD' ? { status: answer.status, headers: answer.headers ?? {} } : answer;
  await finish(world, bodiless, faults, record, res);
}

function locate(world: World, rawPath: string): { tenant: Tenant | undefined; name: string } {
  const [, bucket = '', ...key] = rawPath.split('/');
  const tenant = world.tenants.find(({ credentials }) => bucketOf(credentials.name) === bucket);
  try {
    return { tenant, name: decodeURIComponent(key.join('/')) };
  } catch {
    return { tenant, name: key.join('/') };
  }
}

function answerOrigin(
  world: World,
  req: IncomingMessage,
  rawPath: string,
  query: URLSearchParams,
  tenant: Tenant | undefined,
  name: string,
  faults: FiredFaults,
  record: RequestRecord,
): Answer {
  if (req.headers.authorization !== undefined || req.headers['x-api-key'] !== undefined) {
    return xmlRefusal(400, 'InvalidArgument', 'Only one auth mechanism allowed');
  }
  if (!query.has('X-Amz-Signature')) return xmlRefusal(403, 'AccessDenied', 'Access Denied');
  const verdict =
    req.method === 'GET' ? world.presigner.check(rawPath, query, world.clock.now()) : 'bad-signature';
  if (verdict === 'bad-signature') {
    return xmlRefusal(403, 'SignatureDoesNotMatch', 'The request signature we calculated does not match');
  }
  if (verdict === 'expired' || faults.has('expired-url')) {
    return xmlRefusal(403, 'AccessDenied', 'Request has expired');
  }
  tenant?.settle();
  const file = tenant?.liveFile(name);
  if (!tenant || !file) return xmlRefusal(404, 'NoSuchKey', 'The specified key does not exist.');
  record.files.push(name);
  if (faults.has('changed')) tenant.changeFile(file);
  return serveFile(tenant, file, req.headers, faults.has('ignore-range'));
}

function serveFile(tenant: Tenant, file: StoredFile, asked: IncomingHttpHeaders, wholeOnly: boolean): Answer {
  const key = tenant.contentKey(file);
  const etag = etagOf(key);
  const ifMatch = asked['if-match'];
  if (ifMatch !== undefined && !names(ifMatch, etag)) {
    return xmlRefusal(
      412,
      'PreconditionFailed',
      'At least one of the pre-conditions you specified did not hold',
      { etag },
    );
  }
  const headers = {
    'content-type': 'binary/octet-stream',
    'accept-ranges': 'bytes',
    etag,
    'last-modified': new Date(file.lastModified).toUTCString(),
    server: 'AmazonS3',
  };
  const ifNoneMatch = asked['if-none-match'];
  if (ifNoneMatch !== undefined && names(ifNoneMatch, etag)) return { status: 304, headers };

  const ifRange = asked['if-range'];
  const pinned = ifRange === undefined || ifRange === etag || ifRange === headers['last-modified'];
  const range = pinned && !wholeOnly ? readRange(asked.range, file.size) : undefined;
  if (range === 'unsatisfiable') {
    return xmlRefusal(416, 'InvalidRange', 'The requested range is not satisfiable', {
      'content-range': `bytes */${file.size}`,
    });
  }
  const [start, end] = range ?? [0, file.size];
  return {
    status: range ? 206 : 200,
    headers: range ? { ...headers, 'content-range': `bytes ${start}-${end - 1}/${file.size}` } : headers,
    body: { length: end - start, chunks: () => contentChunks(key, start, end) },
  };
}

function names(list: string, etag: string): boolean {
  return list.split(',').some((each) => each.trim() === '*' || each.trim() === etag);
}

/** [start, end) of a single byte range; undefined for anything S3 would ignore. */
function readRange(header: string | undefined, size: number): [number, number] | 'unsatisfiable' | undefined {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header ?? '');
  const [, first = '', last = ''] = match ?? [];
  if (first === '' && last === '') return undefined;
  if (first === '') {
    const length = Math.min(size, Number(last));
    return length === 0 ? 'unsatisfiable' : [size - length, size];
  }
  if (last !== '' && Number(last) < Number(first)) return undefined;
  if (Number(first) >= size) return 'unsatisfiable';
  return [Number(first), last === '' ? size : Math.min(size, Number(last) + 1)];
}
