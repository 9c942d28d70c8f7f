/**
 * The floor: what any Node client must pay. Four workers, each a ranged GET of 8 MiB and then a PUT of it, over raw
 * node:http: no SDK, no checksum, no check, no retry. Not a way to move files, only something to compare with.
 */
import { Agent, request as httpRequest } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { readErrand, reportReady } from './client.ts';
import { presign } from './presign.ts';

const partSize = 8 * 1024 * 1024;
const workers = 4;
const agent = new Agent({ keepAlive: true });
const { errand } = readErrand();

function ask(
  url: URL,
  method: string,
  headers: Record<string, string | number>,
  body: readonly (string | Buffer)[] = [],
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(url, { agent, method, headers }, (response) => {
      if (response.statusCode === 200 || response.statusCode === 206) resolve(response);
      else reject(new Error(`${method} answered ${response.statusCode ?? 0}`));
    });
    request.on('error', reject);
    // Corked, so that all of it goes to the kernel as one list of buffers, uncopied.
    request.cork();
    for (const piece of body) request.write(piece);
    request.end();
  });
}

function chunksOf(response: IncomingMessage, size: number): Promise<Buffer[]> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let got = 0;
    response.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      got += chunk.length;
    });
    response.on('end', () => (got === size ? resolve(chunks) : reject(new Error('a range ended early'))));
    response.on('error', reject);
  });
}

async function textOf(response: IncomingMessage): Promise<string> {
  let text = '';
  response.setEncoding('utf8');
  for await (const chunk of response) text += String(chunk);
  return text;
}

reportReady();
const source = new URL(errand.url);
const created = await ask(presign(errand, 'POST', ['uploads=']), 'POST', {});
const uploadId = encodeURIComponent(/<UploadId>(.*?)<\/UploadId>/.exec(await textOf(created))?.[1] ?? '');
const count = Math.ceil(errand.size / partSize);
const etags: string[] = [];
let next = 0;

async function work(): Promise<void> {
  while (next < count) {
    const index = next++;
    const start = index * partSize;
    const size = Math.min(partSize, errand.size - start);
    const chunks = await chunksOf(
      await ask(source, 'GET', { range: `bytes=${start}-${start + size - 1}` }),
      size,
    );
    const url = presign(errand, 'PUT', [`partNumber=${index + 1}`, `uploadId=${uploadId}`]);
    const stored = await ask(url, 'PUT', { 'content-length': size }, chunks);
    etags[index] = stored.headers.etag ?? '';
    stored.resume();
  }
}
await Promise.all(Array.from({ length: workers }, work));

const parts = etags.map(
  (etag, index) => `<Part><PartNumber>${index + 1}</PartNumber><ETag>${etag}</ETag></Part>`,
);
const list = `<CompleteMultipartUpload>${parts.join('')}</CompleteMultipartUpload>`;
const completed = await ask(
  presign(errand, 'POST', [`uploadId=${uploadId}`]),
  'POST',
  { 'content-length': Buffer.byteLength(list) },
  [list],
);
completed.resume();
agent.destroy();
