import { expect, onTestFinished } from 'vitest';
import { startSimulator, type Simulator, type SimulatorOptions } from '../../simulator/server.ts';

/** A simulator whose clock stands still until a test moves it; closed when the test ends. */
export async function simulator(options: SimulatorOptions = {}): Promise<Simulator> {
  const sim = await startSimulator({ speed: 0, startAt: Date.UTC(2026, 0, 15), ...options });
  onTestFinished(() => sim.close());
  return sim;
}

export interface Reply {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The parsed body; undefined when it is no JSON. */
  readonly json: unknown;
}

export interface Caller {
  readonly token: string;
  call(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Reply>;
}

/** A caller of one tenant with a token of its own. */
export async function caller(sim: Simulator, tenantIndex = 0): Promise<Caller> {
  const tenant = sim.tenants[tenantIndex];
  if (!tenant) throw new Error('no such tenant');
  const reply = await tokenRequest(sim, { grant_type: 'client_credentials' }, {}, tenantIndex);
  const token = String(pick(reply.json, 'access_token'));
  return {
    token,
    call: (method, path, body, headers = {}) =>
      fetchReply(`${sim.baseUrl}/udm${path}`, {
        method,
        redirect: 'manual',
        headers: {
          'x-api-key': tenant.apiKey,
          authorization: `Bearer ${token}`,
          ...(body === undefined || body instanceof FormData ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(body === undefined ? {} : { body: body instanceof FormData ? body : JSON.stringify(body) }),
      }),
  };
}

export async function tokenRequest(
  sim: Simulator,
  form: Record<string, string>,
  headers: Record<string, string> = {},
  tenantIndex = 0,
): Promise<Reply> {
  const tenant = sim.tenants[tenantIndex];
  const basic = Buffer.from(`${tenant?.clientId}:${tenant?.clientSecret}`).toString('base64');
  return fetchReply(`${sim.baseUrl}/auth/v3/oauth/token`, {
    method: 'POST',
    headers: { 'x-api-key': tenant?.apiKey ?? '', authorization: `Basic ${basic}`, ...headers },
    body: new URLSearchParams(form),
  });
}

export async function fetchReply(url: string, init: RequestInit = {}): Promise<Reply> {
  const response = await fetch(url, init);
  const text = await response.text();
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    json = undefined;
  }
  return { status: response.status, headers: response.headers, text, json };
}

/** Walks into parsed JSON: `pick(json, 'data', 'items', 0, 'id')`. */
export function pick(value: unknown, ...path: (string | number)[]): unknown {
  let at = value;
  for (const key of path)
    at = new Map<unknown, unknown>(Object.entries(Object(at) as object)).get(String(key));
  return at;
}

/** The items of an enveloped list; none for a 204. */
export function items(reply: Reply): unknown[] {
  const found = pick(reply.json, 'data', 'items');
  return Array.isArray(found) ? found : [];
}

/** The body of a job for January 2026, changed as wished. */
export function jobBody(changes: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    source: 'UCSX',
    type: 'Interactions',
    title: 'daily',
    timeFrame: { all: false, dateFrom: '2026-01-01T00:00:00Z', dateTo: '2026-01-02T00:00:00Z' },
    schedulerParam: { immediately: true },
    jobParams: {},
    ...changes,
  };
}

/** The pre-signed URL of a file. */
export async function locate(client: Caller, name: string): Promise<string> {
  const reply = await client.call('GET', `/v10/files/${encodeURIComponent(name)}`);
  return reply.headers.get('location') ?? '';
}

export async function bytesOf(response: Response): Promise<Buffer> {
  return Buffer.from(await response.arrayBuffer());
}

/** The true bytes of a file. */
export function truth(sim: Simulator, name: string, start?: number, end?: number): Buffer {
  return Buffer.concat([...sim.fileContent(name, start, end)]);
}

/** Matchers without vitest's `any` type. */
export const anyString: unknown = expect.any(String);
export const anyNumber: unknown = expect.any(Number);
export const anyArray: unknown = expect.any(Array);
export const containing = (text: string): unknown => expect.stringContaining(text);
export const matching = (pattern: RegExp): unknown => expect.stringMatching(pattern);
