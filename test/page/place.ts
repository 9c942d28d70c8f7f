import { request } from 'node:http';
import { stringify } from 'yaml';
import type { Config } from '../../src/config/config.ts';
import { loadConfig } from '../../src/config/load.ts';
import { openPipeline } from '../../src/jobs/pipeline.ts';
import type { OpenPipeline } from '../../src/jobs/pipeline.ts';
import { createLogger } from '../../src/log.ts';
import { servePage } from '../../src/page/server.ts';
import { createTestDatabase } from '../support/postgres.ts';
import { Rows } from './rows.ts';

/** A token that gives itself away wherever it is shown. */
export const token = 'planted-page-token-4be1c0';

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

/** A status page over a database of its own. */
export interface Place extends AsyncDisposable {
  readonly address: string;
  readonly url: string;
  readonly config: Config;
  readonly pipeline: OpenPipeline;
  readonly rows: Rows;
  /** A request as a browser would not make it: any method, any header, any path. */
  ask(path: string, options?: Ask): Promise<Answer>;
}

export interface Ask {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface PlaceOptions {
  readonly page?: Record<string, unknown>;
  readonly definitions?: Record<string, unknown>;
}

/** The usual definition, with some settings replaced. */
export function definition(more: Record<string, unknown> = {}) {
  return { tenant: 'acme', sink: 'lake', source: 'UCSX', type: 'contacts', ...more };
}

export async function makePlace({ page = {}, definitions }: PlaceOptions = {}): Promise<Place> {
  const database = await createTestDatabase();
  const text = stringify({
    database: { url: database.url, poolSize: 4 },
    tenants: {
      acme: {
        baseUrl: 'http://127.0.0.1:1',
        apiKey: 'planted-api-key',
        auth: { grant: 'token', token: 'planted-access-token' },
      },
    },
    sinks: { lake: { type: 'filesystem', directory: '/nowhere' } },
    definitions: definitions ?? { 'contacts-hourly': definition() },
    page: { port: 0, ...page },
  });
  const config = await loadConfig({ text, env: {} });
  const logger = createLogger(process.env['UDM_SYNC_TEST_LOG'] ?? 'silent', 'json', 2);
  const draining = new AbortController().signal;
  const pipeline = await openPipeline({ config, url: database.url, logger, draining, working: false });
  const served = await servePage({ pipeline, url: database.url, settings: config.page });
  const rows = new Rows(database.url);
  return {
    address: served.address,
    url: database.url,
    config,
    pipeline,
    rows,
    ask: (path, options) => ask(served.address, path, options),
    async [Symbol.asyncDispose]() {
      await served.close();
      await rows.close();
      await pipeline.close();
      await database.drop();
    },
  };
}

function ask(
  address: string,
  path: string,
  { method = 'GET', headers = {}, body }: Ask = {},
): Promise<Answer> {
  const { hostname, port } = new URL(address);
  return new Promise((resolve, reject) => {
    const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) };
    const all = { ...length, ...headers };
    const sent = request({ hostname, port, path, method, headers: all, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: Buffer.concat(chunks).toString('utf8'),
        }),
      );
      response.on('error', reject);
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

/** A form as a browser sends it. */
export function form(
  fields: Readonly<Record<string, string>>,
  headers: Readonly<Record<string, string>> = {},
): Ask {
  return {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
    body: new URLSearchParams(fields).toString(),
  };
}
