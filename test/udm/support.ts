import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { pino } from 'pino';
import { onTestFinished } from 'vitest';
import { createUdmClient } from '../../src/udm/client.ts';
import type { UdmClientOptions } from '../../src/udm/client.ts';
import { UdmError } from '../../src/udm/errors.ts';
import type { UdmClient } from '../../src/udm/types.ts';

/** A request as the server of a test received it. */
export interface Received {
  readonly method: string;
  /** Path and query, as they came over the wire. */
  readonly target: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
  readonly at: number;
}

export type Handler = (request: Received, response: ServerResponse, number: number) => void;

export interface TestServer {
  readonly url: string;
  readonly port: number;
  /** All requests but those for a token. */
  readonly calls: Received[];
  /** Requests for a token. */
  readonly tokens: Received[];
  readonly server: Server;
}

/** A real HTTP server; it gives out tokens by itself and leaves everything else to the handler. */
export async function serve(handler: Handler, token?: Handler): Promise<TestServer> {
  const calls: Received[] = [];
  const tokens: Received[] = [];
  const server = createServer((request, response) => {
    void (async () => {
      const chunks: Buffer[] = [];
      const body: AsyncIterable<Buffer> = request;
      for await (const chunk of body) chunks.push(chunk);
      const target = request.url ?? '';
      const url = new URL(target, 'http://test');
      const received: Received = {
        method: request.method ?? '',
        target,
        path: url.pathname,
        query: url.searchParams,
        headers: request.headers,
        body: Buffer.concat(chunks).toString('latin1'),
        at: performance.now(),
      };
      if (url.pathname === '/auth/v3/oauth/token') {
        tokens.push(received);
        (token ?? giveToken)(received, response, tokens.length);
      } else {
        calls.push(received);
        handler(received, response, calls.length);
      }
    })();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(
    () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  );
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return { url: `http://127.0.0.1:${port}`, port, calls, tokens, server };
}

const giveToken: Handler = (_request, response, number) => {
  json(response, 200, { access_token: `token-${number}`, expires_in: 43199, token_type: 'bearer' });
};

export function json(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
) {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
}

export const secrets = {
  apiKey: 'api-key-1b2c3d4e5f',
  clientSecret: 'client-secret-9f8e7d',
  password: 'p@ss "word" 1234',
};

export const logger = pino({ level: 'silent' });

/** A client for a test server; its waits between attempts are short. */
export function clientOf(url: string, options: Partial<UdmClientOptions> = {}): UdmClient {
  const client = createUdmClient({
    tenant: 'acme',
    baseUrl: url,
    apiKey: secrets.apiKey,
    auth: { grant: 'client_credentials', clientId: 'client', clientSecret: secrets.clientSecret },
    backoffBaseMs: 1,
    logger,
    ...options,
  });
  onTestFinished(() => client.close());
  return client;
}

/** The UdmError that a promise rejects with. */
export async function errorOf(promise: Promise<unknown>): Promise<UdmError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof UdmError) return error;
    throw error;
  }
  throw new Error('expected a rejection');
}

/** Everything an async iterable yields. */
export async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  return Array.fromAsync(items);
}
