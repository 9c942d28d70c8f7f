import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { PageConfig } from '../config/config.ts';
import { UdmSyncError, describeError } from '../errors.ts';
import type { Pipeline } from '../jobs/context.ts';
import { isDatabaseTrouble, openDatabase } from '../store/database.ts';
import { readAssets } from './assets.ts';
import { hostAllowed } from './host.ts';
import { Meter } from './meter.ts';
import { respond } from './respond.ts';
import { ChartKeeper } from './read-overview.ts';
import { Attempts } from './attempts.ts';
import { Sessions } from './session.ts';
import { Shared } from './shared.ts';
import { plain } from './site.ts';
import type { Answer, Site } from './site.ts';
import { followTransfers } from './follow.ts';

/** Connections to Postgres of its own: however many look, they take none from the work. */
const poolSize = 2;

export interface PageOptions {
  readonly pipeline: Pipeline;
  /** The Postgres of the pipeline. */
  readonly url: string;
  readonly settings: PageConfig;
}

/** A status page that is being served. */
export interface ServedPage {
  /** Where, without a slash at its end. */
  readonly address: string;
  close(): Promise<void>;
}

/**
 * Serves the status page of all that is in Postgres, with the progress of this process's own transfers.
 *
 * @throws UdmSyncError `ERR_PAGE` when the port is taken or may not be used, `ERR_DATABASE`
 */
export async function servePage({ pipeline, url, settings }: PageOptions): Promise<ServedPage> {
  const assets = await readAssets().catch((error: unknown) => {
    throw new UdmSyncError(
      'ERR_PAGE',
      `The files of the status page cannot be read: ${describeError(error)}.`,
      {
        hint: 'Install again, or build with: npm run build',
        cause: error,
      },
    );
  });
  const database = await openDatabase(url, poolSize, pipeline.logger);
  const meter = new Meter();
  const site: Site = {
    pipeline,
    db: database.db,
    settings,
    assets,
    meter,
    charts: new ChartKeeper(),
    overviews: new Shared(),
    sessions: settings.token === undefined ? undefined : new Sessions(settings.token),
    attempts: new Attempts(),
  };
  const server = createServer({ requestTimeout: 15_000, headersTimeout: 10_000, keepAliveTimeout: 5000 });
  server.maxConnections = 200;
  server.on('request', (request, response) => void serve(site, request, response));
  const stopFollowing = followTransfers(pipeline.events, meter);
  const close = async () => {
    stopFollowing();
    await closed(server);
    await database.close();
  };
  try {
    await listening(server, settings);
  } catch (error) {
    await close();
    throw error;
  }
  const { address, port, family } = server.address() as AddressInfo;
  return { address: `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`, close };
}

function listening(server: Server, { host, port }: PageConfig): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      const taken = 'code' in error && error.code === 'EADDRINUSE';
      reject(
        new UdmSyncError(
          'ERR_PAGE',
          `The status page cannot be served on ${host}:${port}: ${taken ? 'the port is in use' : error.message}.`,
          { hint: 'Choose another with page.port or --page-port, or set page.enabled: false.', cause: error },
        ),
      );
    });
    server.listen({ host, port }, () => resolve());
  });
}

async function closed(server: Server): Promise<void> {
  const gone = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeAllConnections();
  await gone;
}

/** What every answer carries: nothing from elsewhere, no script of anybody's in it, in nobody's frame. */
const headers: Readonly<Record<string, string>> = {
  'content-security-policy':
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'same-origin',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), geolocation=(), microphone=()',
  'x-robots-tag': 'noindex',
};

async function serve(site: Site, request: IncomingMessage, response: ServerResponse): Promise<void> {
  try {
    const answer = hostAllowed(request.headers.host, site.settings.host, site.settings.allowedHosts)
      ? await respond(site, request)
      : plain(421, 'This host name is not one of the status page. Add it to page.allowedHosts.');
    send(request, response, answer);
  } catch (error) {
    const away = isDatabaseTrouble(error);
    site.pipeline.logger.warn({ reason: describeError(error) }, 'a status page could not be made');
    const text = away
      ? 'Postgres does not answer, or not in time. The page works again as soon as it does.'
      : 'Something went wrong. The log of this process says what.';
    if (!response.headersSent) send(request, response, plain(away ? 503 : 500, text));
    else response.destroy();
  }
}

function send(request: IncomingMessage, response: ServerResponse, answer: Answer): void {
  const body = Buffer.isBuffer(answer.body) ? answer.body : Buffer.from(answer.body);
  response.writeHead(answer.status, {
    ...headers,
    'cache-control': 'no-store',
    'content-type': answer.type,
    ...answer.headers,
    ...(answer.status === 304 ? {} : { 'content-length': body.length }),
    // A body that was not read would be taken for the next request.
    ...(request.method === 'POST' && !request.complete ? { connection: 'close' } : {}),
  });
  response.end(request.method === 'HEAD' || answer.status === 304 ? undefined : body);
}
