import { once } from 'node:events';
import { createServer, request } from 'node:http';
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { crc32 } from 'node:zlib';

/** A request as it came over the wire. */
export interface Recorded {
  readonly operation: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** Of the body. */
  readonly crc32: number;
  /** Tells one connection from another. */
  readonly clientPort: number;
}

/** What the proxy does with a request instead of passing it and its answer on. */
export type Intervention =
  /** Answer without asking the server. */
  | {
      readonly answer: {
        readonly status: number;
        readonly body?: string;
        readonly headers?: Record<string, string>;
      };
    }
  /** Ask the server and cut the connection instead of passing its answer on. */
  | { readonly loseAnswer: true }
  /** Pass on so many bytes of the answer's body, then cut the connection. */
  | { readonly breakAfter: number }
  /** Pass the answer on with these headers added. */
  | { readonly addHeaders: Record<string, string> };

export interface RecordingProxy {
  readonly endpoint: string;
  readonly requests: Recorded[];
  /** Decides about each request; the request waits for as long as it takes. */
  intervene: (request: Recorded) => Intervention | undefined | Promise<Intervention | undefined>;
  /** The recorded requests of one operation. */
  of(operation: string): Recorded[];
  stop(): Promise<void>;
}

function operationOf(method: string, query: URLSearchParams): string {
  if (query.has('uploads')) return method === 'POST' ? 'CreateMultipartUpload' : 'ListMultipartUploads';
  if (query.has('uploadId'))
    return (
      {
        PUT: 'UploadPart',
        POST: 'CompleteMultipartUpload',
        DELETE: 'AbortMultipartUpload',
        GET: 'ListParts',
      }[method] ?? method
    );
  return { PUT: 'PutObject', GET: 'GetObject', HEAD: 'HeadObject', DELETE: 'DeleteObject' }[method] ?? method;
}

async function collect(stream: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** An HTTP proxy in front of an S3 server that keeps every request and can break any answer. */
export async function startRecordingProxy(target: string): Promise<RecordingProxy> {
  const requests: Recorded[] = [];

  async function forward(incoming: IncomingMessage, body: Buffer) {
    const outgoing = request(new URL(incoming.url ?? '/', target), {
      method: incoming.method ?? 'GET',
      headers: incoming.headers,
    });
    outgoing.end(body);
    const [answer] = (await once(outgoing, 'response')) as [IncomingMessage];
    return { answer, content: await collect(answer) };
  }

  async function handle(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const url = new URL(incoming.url ?? '/', target);
    const body = await collect(incoming);
    const recorded: Recorded = {
      operation: operationOf(incoming.method ?? '', url.searchParams),
      path: url.pathname,
      query: url.searchParams,
      headers: incoming.headers,
      body,
      crc32: crc32(body),
      clientPort: incoming.socket.remotePort ?? 0,
    };
    requests.push(recorded);
    const intervention = await proxy.intervene(recorded);
    if (intervention && 'answer' in intervention) {
      const { status, body: text = '', headers } = intervention.answer;
      outgoing.writeHead(status, { 'content-type': 'application/xml', ...headers }).end(text);
      return;
    }
    const { answer, content } = await forward(incoming, body);
    if (intervention && 'loseAnswer' in intervention) {
      incoming.socket.destroy();
      return;
    }
    const breakAfter = intervention && 'breakAfter' in intervention ? intervention.breakAfter : undefined;
    const added = intervention && 'addHeaders' in intervention ? intervention.addHeaders : {};
    outgoing.writeHead(answer.statusCode ?? 500, { ...answer.headers, ...added });
    if (breakAfter === undefined) outgoing.end(content);
    else outgoing.write(content.subarray(0, breakAfter), () => incoming.socket.destroy());
  }

  const server = createServer((incoming, outgoing) => {
    handle(incoming, outgoing).catch(() => incoming.socket.destroy()); // The client has hung up.
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('the proxy listens on no port');

  const proxy: RecordingProxy = {
    endpoint: `http://127.0.0.1:${String(address.port)}`,
    requests,
    intervene: () => undefined,
    of: (operation) => requests.filter((recorded) => recorded.operation === operation),
    async stop() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
  return proxy;
}
