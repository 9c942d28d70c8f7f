/**
 * An S3 server that keeps nothing, a process of its own: what a client costs, without what a store costs. Speaks as much
 * of the protocol as the contenders use, path style, and checks nothing. Bodies are read and dropped; of an object it
 * keeps the size, the CRC-32 that the client sent, and the bytes if they are few.
 *
 * `GET /_bench` answers what has come since the last `DELETE /_bench`, as JSON.
 */
import { createHash, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import { serveUntilStdinEnds } from './listen.ts';

interface StoredObject {
  readonly size: number;
  readonly etag: string;
  readonly headers: OutgoingHttpHeaders;
  readonly bytes?: Buffer | undefined;
}

interface Upload {
  readonly parts: Map<number, { readonly size: number; readonly md5: string }>;
  readonly headers: OutgoingHttpHeaders;
}

/** Small enough to be read again: probes and manifests. */
const keepBytes = 4096;
/** Stands for the MD5 of bytes whose MD5 the client did not send: computing it would cost more than all the rest. */
const unknownMd5 = '0123456789abcdef0123456789abcdef';
const objects = new Map<string, StoredObject>();
const uploads = new Map<string, Upload>();
const count = { requests: 0, bodyBytes: 0, objects: 0, objectBytes: 0 };

/** Reads a body to its end; resolves to the bytes that count as content. */
async function drain(request: IncomingMessage): Promise<number> {
  let received = 0;
  const announced = request.headers['content-length'];
  if (announced === undefined) request.on('data', (chunk: Buffer) => (received += chunk.length));
  else received = Number(announced);
  request.resume();
  await new Promise<void>((resolve, reject) => {
    request.once('end', resolve).once('close', () => reject(new Error('the client went away')));
  });
  count.bodyBytes += received;
  // aws-chunked: the body has signatures or trailers in between.
  return Number(request.headers['x-amz-decoded-content-length'] ?? received);
}

async function read(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  const body: AsyncIterable<Buffer> = request;
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function xml(response: ServerResponse, status: number, root: string, inner: string): void {
  const text = `<?xml version="1.0" encoding="UTF-8"?>\n<${root} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${inner}</${root}>`;
  response.writeHead(status, {
    'content-type': 'application/xml',
    'content-length': Buffer.byteLength(text),
  });
  response.end(text);
}

function notFound(request: IncomingMessage, response: ServerResponse, code: string): void {
  if (request.method === 'HEAD') response.writeHead(404).end();
  else xml(response, 404, 'Error', `<Code>${code}</Code><Message>It is not here.</Message>`);
}

/** What a client said of an object that a HEAD gives back: its metadata, and the checksum of the whole. */
function keptHeaders(request: IncomingMessage): OutgoingHttpHeaders {
  const kept = Object.entries(request.headers).filter(
    ([name]) => name.startsWith('x-amz-meta-') || name === 'content-type',
  );
  return Object.fromEntries(kept);
}

/** The MD5 that the client says its bytes have, in hex. */
function md5Of(request: IncomingMessage): string {
  const sent = request.headers['content-md5'];
  return typeof sent === 'string' ? Buffer.from(sent, 'base64').toString('hex') : unknownMd5;
}

/** As S3 makes it, since rclone compares: the MD5 of the parts' MD5s. */
function multipartEtag(md5s: readonly string[]): string {
  const hash = createHash('md5').update(Buffer.from(md5s.join(''), 'hex'));
  return `"${hash.digest('hex')}-${md5s.length}"`;
}

function checksum(request: IncomingMessage): OutgoingHttpHeaders {
  const crc32 = request.headers['x-amz-checksum-crc32'];
  return crc32 === undefined ? {} : { 'x-amz-checksum-crc32': crc32, 'x-amz-checksum-type': 'FULL_OBJECT' };
}

function store(key: string, object: StoredObject): void {
  objects.set(key, object);
  count.objects += 1;
  count.objectBytes += object.size;
}

async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? '/', 'http://sink');
  if (url.pathname === '/_bench') {
    if (request.method === 'DELETE') {
      objects.clear();
      uploads.clear();
      Object.assign(count, { requests: 0, bodyBytes: 0, objects: 0, objectBytes: 0 });
    }
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(count));
    return;
  }
  count.requests += 1;
  const [, bucket = '', ...rest] = url.pathname.split('/');
  const key = rest.join('/');
  if (key === '') return serveBucket(request, response, url, bucket);
  const uploadId = url.searchParams.get('uploadId');
  switch (request.method) {
    case 'PUT': {
      const number = url.searchParams.get('partNumber');
      if (uploadId !== null && number !== null) {
        const part = { size: await drain(request), md5: md5Of(request) };
        uploads.get(uploadId)?.parts.set(Number(number), part);
        response.writeHead(200, { etag: `"${part.md5}"`, 'content-length': 0 }).end();
        return;
      }
      const few = Number(request.headers['content-length'] ?? Infinity) <= keepBytes;
      const bytes = few ? await read(request) : undefined;
      const size = bytes?.length ?? (await drain(request));
      const etag = `"${md5Of(request)}"`;
      store(url.pathname, { size, etag, bytes, headers: { ...keptHeaders(request), ...checksum(request) } });
      response.writeHead(200, { etag, 'content-length': 0 }).end();
      return;
    }
    case 'POST': {
      if (url.searchParams.has('uploads')) {
        await drain(request);
        const id = randomUUID();
        uploads.set(id, { parts: new Map(), headers: keptHeaders(request) });
        // As AWS does, it agrees to keep the checksums that the client asks for.
        for (const name of ['x-amz-checksum-algorithm', 'x-amz-checksum-type']) {
          const asked = request.headers[name];
          if (asked !== undefined) response.setHeader(name, asked);
        }
        xml(
          response,
          200,
          'InitiateMultipartUploadResult',
          `<Bucket>${bucket}</Bucket><Key>${escape(key)}</Key><UploadId>${id}</UploadId>`,
        );
        return;
      }
      const upload = uploads.get(uploadId ?? '');
      await drain(request);
      if (!upload) return notFound(request, response, 'NoSuchUpload');
      uploads.delete(uploadId ?? '');
      const parts = [...upload.parts].sort(([a], [b]) => a - b).map(([, part]) => part);
      const size = parts.reduce((sum, part) => sum + part.size, 0);
      const etag = multipartEtag(parts.map((part) => part.md5));
      store(url.pathname, { size, etag, headers: { ...upload.headers, ...checksum(request) } });
      xml(
        response,
        200,
        'CompleteMultipartUploadResult',
        `<Bucket>${bucket}</Bucket><Key>${escape(key)}</Key><ETag>${etag}</ETag>`,
      );
      return;
    }
    case 'DELETE':
      if (uploadId === null) objects.delete(url.pathname);
      else uploads.delete(uploadId);
      response.writeHead(204).end();
      return;
    default:
      if (uploadId !== null) return listParts(request, response, uploadId);
      return serveObject(request, response, url.pathname);
  }
}

async function serveBucket(
  request: IncomingMessage,
  response: ServerResponse,
  url: URL,
  bucket: string,
): Promise<void> {
  await drain(request);
  if (request.method !== 'GET') response.writeHead(200, { 'content-length': 0 }).end();
  else if (url.searchParams.has('location')) xml(response, 200, 'LocationConstraint', '');
  else if (url.searchParams.has('uploads'))
    xml(response, 200, 'ListMultipartUploadsResult', '<IsTruncated>false</IsTruncated>');
  else
    xml(
      response,
      200,
      'ListBucketResult',
      `<Name>${bucket}</Name><KeyCount>0</KeyCount><IsTruncated>false</IsTruncated>`,
    );
}

function serveObject(request: IncomingMessage, response: ServerResponse, path: string): void {
  const object = objects.get(path);
  if (!object || (request.method === 'GET' && !object.bytes)) return notFound(request, response, 'NoSuchKey');
  response.writeHead(200, {
    ...object.headers,
    etag: object.etag,
    'content-length': object.size,
    'last-modified': new Date().toUTCString(),
  });
  response.end(request.method === 'GET' ? object.bytes : undefined);
}

function listParts(request: IncomingMessage, response: ServerResponse, uploadId: string): void {
  const upload = uploads.get(uploadId);
  if (!upload) return notFound(request, response, 'NoSuchUpload');
  const parts = [...upload.parts].map(
    ([number, { size, md5 }]) =>
      `<Part><PartNumber>${number}</PartNumber><ETag>"${md5}"</ETag><Size>${size}</Size></Part>`,
  );
  xml(response, 200, 'ListPartsResult', `<IsTruncated>false</IsTruncated>${parts.join('')}`);
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

await serveUntilStdinEnds(
  createServer((request, response) => {
    serve(request, response).catch(() => response.destroy());
  }),
);
