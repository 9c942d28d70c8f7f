import { once } from 'node:events';
import { createServer, request } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';

/** A request on its way to the API or to the origin that pre-signed URLs lead to. */
export interface Overheard {
  readonly hop: 'api' | 'origin';
  readonly method: string;
  readonly path: string;
  /** Everything the request carried, its credentials included: what a careless server may quote. */
  readonly quoted: string;
}

export interface Eavesdropper {
  /** What workers take for the upstream. */
  readonly url: string;
  /** Access and refresh tokens, signatures of pre-signed URLs: all that went by. */
  readonly credentials: Set<string>;
  /** Answers instead of the upstream, or breaks the connection (`undefined` passes the request on). */
  intervene: (request: Overheard) => { status: number; body: string } | 'reset' | undefined;
  stop(): Promise<void>;
}

/** Stands between workers and a simulated upstream, both hops, and learns every credential that goes by. */
export async function eavesdrop(upstream: string): Promise<Eavesdropper> {
  const credentials = new Set<string>();
  let origin = upstream;

  async function handle(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const { method = 'GET', url: path = '/', headers } = incoming;
    const body = await read(incoming);
    const hop = path.includes('X-Amz-') ? 'origin' : 'api';
    const quoted = `${eavesdropper.url}${path} ${JSON.stringify(headers)} ${body.toString()}`;
    const instead = eavesdropper.intervene({ hop, method, path, quoted });
    if (instead === 'reset') {
      incoming.socket.resetAndDestroy();
      return;
    }
    if (instead) {
      outgoing.writeHead(instead.status, { 'content-type': 'application/json' }).end(instead.body);
      return;
    }
    const { hostname, port } = new URL(hop === 'api' ? upstream : origin);
    const forwarded = request({ hostname, port, method, path, headers, agent: false });
    forwarded.end(body);
    const [answer] = (await once(forwarded, 'response')) as [IncomingMessage];
    const content = await read(answer);
    if (path.includes('/oauth/token'))
      for (const [, token] of content.toString().matchAll(/"(?:access|refresh)_token":\s*"([^"]+)"/g))
        credentials.add(token ?? '');
    // Where files are is said by a Location or by a list of URLs.
    const learn = (text: string) =>
      text.replaceAll(
        /http:\/\/[^/"\s]+(?=\/[^"\s]*X-Amz-Signature=([0-9a-f]+))/g,
        (found, signature: string) => {
          origin = found;
          credentials.add(signature);
          return eavesdropper.url;
        },
      );
    const { location } = answer.headers;
    if (location !== undefined) answer.headers.location = learn(location);
    const urls =
      hop === 'api' && path.includes('/v10/files?') ? Buffer.from(learn(content.toString())) : content;
    if (urls !== content) answer.headers['content-length'] = String(urls.length);
    outgoing.writeHead(answer.statusCode ?? 502, answer.headers).end(urls);
  }

  const server = createServer((incoming, outgoing) => {
    handle(incoming, outgoing).catch(() => outgoing.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const eavesdropper: Eavesdropper = {
    url: `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`,
    credentials,
    intervene: () => undefined,
    async stop() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
  return eavesdropper;
}

async function read(stream: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}
