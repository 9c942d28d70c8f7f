import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Answer, jsonAnswer, refusal, send, textAnswer } from './answer.ts';
import type { SimClock } from './clock.ts';
import type { Faults, FiredFaults } from './faults.ts';
import { fileRoutes } from './file-routes.ts';
import { jobRoutes } from './job-routes.ts';
import type { Settings } from './options.ts';
import { otherRoutes } from './other-routes.ts';
import type { Presigner } from './presign.ts';
import { maskedQuery, type RequestLog, type RequestRecord } from './records.ts';
import { matchPath, type Route } from './routes.ts';
import type { Shaper } from './shapes.ts';
import type { Tenant } from './tenant.ts';
import type { Tokens } from './tokens.ts';

/** The parts both listeners share. */
export interface World {
  readonly settings: Settings;
  readonly clock: SimClock;
  readonly faults: Faults;
  readonly log: RequestLog;
  readonly tenants: readonly Tenant[];
  readonly tokens: Tokens;
  readonly shaper: Shaper;
  readonly presigner: Presigner;
}

const TOKEN_PATH = '/auth/v3/oauth/token';
const UDM_PREFIX = '/udm';
const routes: readonly Route[] = [...jobRoutes, ...fileRoutes, ...otherRoutes];

const HTML_502 =
  '<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n';

/** Serves one request to the API listener: the token endpoint and every operation of UDM v10. */
export async function serveApi(
  world: World,
  originUrl: string,
  req: IncomingMessage,
  res: ServerResponse,
): Promise<void> {
  const method = req.method ?? 'GET';
  const [rawPath, rawQuery] = splitUrl(req.url ?? '/');
  const query = new URLSearchParams(rawQuery);
  const found = findRoute(method, rawPath);
  const { record, faults } = admit(world, 'api', req, found.template, found.path, query);

  const body = await readBody(req);
  if (await interrupted(faults, record, world.log, res)) return;
  const answer = await answerApi(world, originUrl, req, found, query, body, record, faults);
  await finish(world, answer, faults, record, res);
}

/** Opens the record of a request and finds the faults that hit it. */
export function admit(
  world: World,
  listener: 'api' | 's3',
  req: IncomingMessage,
  template: string,
  path: string,
  query: URLSearchParams,
): { readonly record: RequestRecord; readonly faults: FiredFaults } {
  const method = req.method ?? 'GET';
  const faults = world.faults.hit(method, template, path);
  const record = world.log.open({
    at: new Date(world.clock.now()).toISOString(),
    listener,
    method,
    path,
    endpoint: `${method} ${template}`,
    query: maskedQuery(query),
    headers: Object.keys(req.headers),
    hasAuthorization: req.headers.authorization !== undefined,
    hasApiKey: req.headers['x-api-key'] !== undefined,
    range: req.headers.range,
    faults: faults.effects.map((effect) => effect.kind),
  });
  return { record, faults };
}

/** Faults that come before anything happens. True when the request is over. */
export async function interrupted(
  faults: FiredFaults,
  record: RequestRecord,
  log: RequestLog,
  res: ServerResponse,
): Promise<boolean> {
  for (const effect of faults.effects) if (effect.kind === 'delay') await sleep(effect.ms);
  if (faults.has('reset')) {
    cut(record, log, res);
    return true;
  }
  const status = faults.get('status');
  if (!status && !faults.has('html')) return false;
  const answer = !status
    ? textAnswer(502, 'text/html', HTML_502)
    : status.body === undefined
      ? { status: status.status, headers: status.headers ?? {} }
      : typeof status.body === 'string'
        ? textAnswer(status.status, 'text/plain', status.body, { ...status.headers })
        : jsonAnswer(status.status, status.body, { ...status.headers });
  await conclude(log, answer, faults, record, res);
  return true;
}

/** Writes the record, then sends the answer or loses it. */
export async function finish(
  world: World,
  answer: Answer,
  faults: FiredFaults,
  record: RequestRecord,
  res: ServerResponse,
): Promise<void> {
  if (faults.has('lost-answer')) return cut(record, world.log, res);
  const wrong = faults.get('wrong-json');
  const status = answer.status === 204 ? 200 : answer.status;
  const sent = wrong ? jsonAnswer(status, wrong.body ?? { weather: ['sunny', 21] }) : answer;
  await conclude(world.log, sent, faults, record, res);
}

async function conclude(
  log: RequestLog,
  answer: Answer,
  faults: FiredFaults,
  record: RequestRecord,
  res: ServerResponse,
): Promise<void> {
  record.status = answer.status;
  log.answering(record);
  await send(res, answer, faults, record);
  log.done(record);
}

function cut(record: RequestRecord, log: RequestLog, res: ServerResponse): void {
  record.outcome = 'cut';
  log.answering(record);
  res.socket?.resetAndDestroy();
  log.done(record);
}

interface Found {
  readonly route: Route | undefined;
  readonly params: Readonly<Record<string, string>>;
  readonly template: string;
  /** Decoded, from /v10 on. */
  readonly path: string;
  readonly problem: Answer | undefined;
}

function findRoute(method: string, rawPath: string): Found {
  const inner = rawPath.startsWith(`${UDM_PREFIX}/`) ? rawPath.slice(UDM_PREFIX.length) : undefined;
  const none = { route: undefined, params: {} };
  try {
    const path = decodeURIComponent(inner ?? rawPath);
    if (rawPath === TOKEN_PATH) return { ...none, template: rawPath, path, problem: undefined };
    let problem = refusal(404, 'Not Found');
    for (const route of inner === undefined ? [] : routes) {
      const params = matchPath(route.template, inner ?? '');
      if (params && route.method === method)
        return { route, params, template: route.template, path, problem: undefined };
      if (params) problem = refusal(405, 'Method Not Allowed');
    }
    return { ...none, template: path, path, problem };
  } catch {
    return { ...none, template: rawPath, path: rawPath, problem: refusal(400, 'Malformed path') };
  }
}

async function answerApi(
  world: World,
  originUrl: string,
  req: IncomingMessage,
  found: Found,
  query: URLSearchParams,
  body: Buffer,
  record: RequestRecord,
  faults: FiredFaults,
): Promise<Answer> {
  // The reference puts the key of file-metadatas into the query; the gateway takes it from either place.
  const key = req.headers['x-api-key'] ?? query.get('x-api-key');
  const tenant = world.tenants.find(({ credentials }) => credentials.apiKey === key);
  if (!tenant) return refusal(403, 'Forbidden');
  record.tenant = tenant.credentials.name;
  const { authorization } = req.headers;

  if (found.template === TOKEN_PATH) {
    if (req.method !== 'POST') return refusal(405, 'Method Not Allowed');
    const form = new URLSearchParams(body.toString());
    record.grant = form.get('grant_type') ?? undefined;
    return world.tokens.grant(tenant.credentials, authorization, form);
  }
  if (found.problem || !found.route) return found.problem ?? refusal(404, 'Not Found');

  const token = /^bearer (\S+)$/i.exec(authorization ?? '')?.[1] ?? '';
  if (faults.has('token-revoked')) world.tokens.revoke(token);
  if (!found.route.open && !world.tokens.accepts(token, tenant.credentials.name)) {
    return jsonAnswer(401, { error: 'invalid_token', error_description: 'Invalid or expired access token' });
  }
  tenant.settle();
  return found.route.handle({
    settings: world.settings,
    clock: world.clock,
    shaper: world.shaper,
    presigner: world.presigner,
    originUrl,
    tenant,
    params: found.params,
    query,
    contentType: req.headers['content-type'] ?? '',
    body,
    faults,
    record,
  });
}

/** Raw path and raw query. */
export function splitUrl(url: string): [string, string] {
  const mark = url.indexOf('?');
  return mark < 0 ? [url, ''] : [url.slice(0, mark), url.slice(mark + 1)];
}

export async function readBody(req: IncomingMessage): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of req as AsyncIterable<Uint8Array>) chunks.push(chunk);
  return Buffer.concat(chunks);
}
