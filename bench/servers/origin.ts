/**
 * The HTTP origin of the bench, a process of its own: GET and HEAD of `/<bytes>/<name>` answers so many bytes, with
 * ranges and a strong ETag, out of one buffer that is made at the start. Nothing is computed for a request.
 */
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { serveUntilStdinEnds } from './listen.ts';

const MiB = 1024 * 1024;
/** A file is this block again and again. */
const block = randomBytes(64 * MiB);

async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const size = Number(/^\/(\d+)\//.exec(request.url ?? '')?.[1] ?? NaN);
  if (Number.isNaN(size)) {
    response.writeHead(404).end();
    return;
  }
  const etag = `"origin-${size}"`;
  if (request.headers['if-match'] !== undefined && request.headers['if-match'] !== etag) {
    response.writeHead(412).end();
    return;
  }
  const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? [];
  const start = first === undefined ? 0 : Number(first);
  const end = last === undefined || last === '' ? size : Math.min(size, Number(last) + 1);
  if (first !== undefined && start >= size) {
    response.writeHead(416, { 'content-range': `bytes */${size}` }).end();
    return;
  }
  response.writeHead(first === undefined ? 200 : 206, {
    'content-type': 'binary/octet-stream',
    'content-length': end - start,
    'accept-ranges': 'bytes',
    etag,
    'last-modified': 'Thu, 01 Jan 2026 00:00:00 GMT',
    ...(first === undefined ? {} : { 'content-range': `bytes ${start}-${end - 1}/${size}` }),
  });
  if (request.method === 'HEAD') response.end();
  else await pipeline(Readable.from(pieces(start, end)), response);
}

/** Large pieces: the kernel takes what fits, and we hear of it when all of a piece has gone. */
function* pieces(start: number, end: number): Generator<Buffer> {
  for (let at = start; at < end;) {
    const within = at % block.length;
    const length = Math.min(8 * MiB, block.length - within, end - at);
    yield block.subarray(within, within + length);
    at += length;
  }
}

await serveUntilStdinEnds(
  createServer((request, response) => {
    serve(request, response).catch(() => response.destroy());
  }),
);
