import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { MetricsConfig } from '../config/config.ts';
import { UdmSyncError } from '../errors.ts';
import type { Logger } from '../log.ts';

/** What is served under a path: status, media type and body. */
export type Route = () => Promise<{ readonly status: number; readonly type: string; readonly body: string }>;

export interface MetricsServer {
  /** Stops listening and closes all connections. */
  close(): Promise<void>;
}

/** How often a port that another process has is tried again. */
const tryAgainMs = 5_000;

/**
 * Serves routes by GET and HEAD. A port that another process has, such as another worker of this machine or the one
 * that this one replaces, is no reason not to work: it is taken once it is free.
 *
 * @throws UdmSyncError `ERR_METRICS_LISTEN` when the address can never be listened on
 */
export async function startServer(
  { port, host }: MetricsConfig,
  routes: Readonly<Record<string, Route>>,
  logger: Logger,
): Promise<MetricsServer> {
  const server = createServer((request, response) => {
    answer(routes, request, response).catch(() => response.destroy());
  });
  // Nobody needs long for a request without a body.
  server.requestTimeout = 10_000;
  server.headersTimeout = 10_000;
  server.keepAliveTimeout = 30_000;
  server.maxConnections = 100;
  const where = { port, host };
  let timer: NodeJS.Timeout | undefined;
  const listen = async (): Promise<'listening' | 'taken'> => {
    server.listen(where);
    try {
      await once(server, 'listening');
      logger.info({ ...where }, 'serving /metrics, /healthz and /readyz');
      return 'listening';
    } catch (error) {
      if (codeOf(error) === 'EADDRINUSE') return 'taken';
      throw listenError(where, error);
    }
  };
  const again = () => {
    timer = setTimeout(() => {
      listen().then(
        (outcome) => (outcome === 'taken' ? again() : undefined),
        (error: unknown) => logger.error({ err: error }, 'the metrics cannot be served'),
      );
    }, tryAgainMs);
    timer.unref();
  };
  if ((await listen()) === 'taken') {
    logger.warn(
      { ...where },
      'another process has the port of the metrics: they are served once it is free (metrics.port; 0 for none)',
    );
    again();
  }
  return {
    async close() {
      clearTimeout(timer);
      await closed(server);
    },
  };
}

async function closed(server: Server): Promise<void> {
  if (!server.listening) return;
  server.close();
  server.closeAllConnections();
  await once(server, 'close');
}

async function answer(
  routes: Readonly<Record<string, Route>>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const path = (request.url ?? '/').replace(/\?.*$/, '');
  const route = Object.hasOwn(routes, path) ? routes[path] : undefined;
  const reply = (status: number, type: string, body: string, more: Record<string, string> = {}) =>
    response
      .writeHead(status, { 'content-type': type, 'cache-control': 'no-store', ...more })
      .end(request.method === 'HEAD' ? undefined : body);
  const refuse = (status: number, error: string, more?: Record<string, string>) =>
    reply(status, 'application/json', `${JSON.stringify({ error })}\n`, more);
  if (!route) refuse(404, `there is ${Object.keys(routes).join(', ')}`);
  else if (request.method !== 'GET' && request.method !== 'HEAD')
    refuse(405, 'only GET and HEAD', { allow: 'GET, HEAD' });
  else {
    const { status, type, body } = await route();
    reply(status, type, body);
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}

function listenError(where: MetricsConfig, cause: unknown): UdmSyncError {
  const said = cause instanceof Error ? cause.message : String(cause);
  return new UdmSyncError(
    'ERR_METRICS_LISTEN',
    `The metrics cannot be served on ${where.host}, port ${where.port}: ${said}.`,
    {
      hint: 'Correct metrics.host and metrics.port (a port from 1024 needs no privilege; 0 turns them off).',
      cause,
    },
  );
}
