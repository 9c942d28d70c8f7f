import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import { createTokenSource } from '../../src/udm/auth.ts';
import type { UdmAuth } from '../../src/udm/auth.ts';
import { createHttp } from '../../src/udm/http.ts';
import { createRedactor } from '../../src/udm/redact.ts';
import { clientOf, errorOf, json, secrets, serve } from './support.ts';
import type { Handler, TestServer } from './support.ts';

const client = { clientId: 'client', clientSecret: secrets.clientSecret };
const password: UdmAuth = {
  grant: 'password',
  ...client,
  username: 'acme\\robot',
  password: secrets.password,
};
const never = new AbortController().signal;

const ok: Handler = (_request, response) => json(response, 200, ['UCSX']);

/** Gives the data to one token only, 401 to all others. */
function onlyFor(token: string): Handler {
  return (request, response) => {
    if (request.headers.authorization === `Bearer ${token}`) json(response, 200, ['UCSX']);
    else json(response, 401, { error: 'Unauthorized' });
  };
}

function forms(server: TestServer): Record<string, string>[] {
  return server.tokens.map(({ body }) => Object.fromEntries(new URLSearchParams(body)));
}

describe('grants', () => {
  test('password: form body, Basic client credentials, API key', async () => {
    const server = await serve(ok);
    await clientOf(server.url, { auth: password }).listSources();
    expect(forms(server)).toEqual([
      { grant_type: 'password', username: 'acme\\robot', password: secrets.password },
    ]);
    const headers = server.tokens[0]?.headers;
    expect(headers?.authorization).toBe(
      `Basic ${Buffer.from(`client:${secrets.clientSecret}`).toString('base64')}`,
    );
    expect(headers).toMatchObject({
      'x-api-key': secrets.apiKey,
      accept: 'application/json',
      'content-type': 'application/x-www-form-urlencoded',
    });
  });

  test('client credentials', async () => {
    const server = await serve(ok);
    await clientOf(server.url).listSources();
    expect(forms(server)).toEqual([{ grant_type: 'client_credentials' }]);
  });

  test('a fixed token is used as it is, and a 401 is final', async () => {
    const server = await serve(onlyFor('another'));
    const error = await errorOf(
      clientOf(server.url, { auth: { grant: 'token', token: 'fixed' } }).listSources(),
    );
    expect(error.code).toBe('ERR_UDM_UNAUTHORIZED');
    expect(server.calls.map(({ headers }) => headers.authorization)).toEqual(['Bearer fixed']);
    expect(server.tokens).toEqual([]);
  });

  test('a refresh token that rotates is replaced each time', async () => {
    const server = await serve(onlyFor('access-3'), (_request, response, number) =>
      json(response, 200, {
        access_token: `access-${number}`,
        refresh_token: `refresh-${number}`,
        expires_in: '0',
      }),
    );
    const auth: UdmAuth = { grant: 'refresh_token', ...client, refreshToken: 'refresh-0' };
    const udm = clientOf(server.url, { auth });
    await udm.checkToken();
    await udm.checkToken();
    await udm.listSources();
    expect(forms(server).map((form) => form['refresh_token'])).toEqual([
      'refresh-0',
      'refresh-1',
      'refresh-2',
    ]);
  });

  test('the password is used again once the refresh token is refused', async () => {
    const server = await serve(onlyFor('access-3'), (request, response, number) => {
      if (request.body.includes('grant_type=refresh_token')) json(response, 400, { error: 'invalid_grant' });
      else json(response, 200, { access_token: `access-${number}`, refresh_token: 'r', expires_in: 43199 });
    });
    await clientOf(server.url, { auth: password }).listSources();
    expect(forms(server).map((form) => form['grant_type'])).toEqual([
      'password',
      'refresh_token',
      'password',
    ]);
  });
});

describe('renewal', () => {
  test('twenty callers share one request', async () => {
    const server = await serve(ok);
    const udm = clientOf(server.url);
    await Promise.all(Array.from({ length: 20 }, () => udm.listSources()));
    expect(server.calls).toHaveLength(20);
    expect(server.tokens).toHaveLength(1);
  });

  test('twenty callers with a revoked token share one renewal', async () => {
    const server = await serve(onlyFor('token-2'));
    const udm = clientOf(server.url);
    await Promise.all(Array.from({ length: 20 }, () => udm.listSources()));
    expect(server.tokens).toHaveLength(2);
  });

  test('a 401 is tried exactly once more, with the new token', async () => {
    const server = await serve(onlyFor('no such token'));
    const error = await errorOf(clientOf(server.url).listSources());
    expect(error).toMatchObject({ code: 'ERR_UDM_UNAUTHORIZED', status: 401, retryable: false });
    expect(server.calls.map(({ headers }) => headers.authorization)).toEqual([
      'Bearer token-1',
      'Bearer token-2',
    ]);
  });

  test('also for what is never repeated otherwise', async () => {
    const server = await serve((request, response) => {
      if (request.headers.authorization === 'Bearer token-2') json(response, 202, { id: 9 });
      else json(response, 401, {});
    });
    const made = await clientOf(server.url).createJob({
      source: 's',
      type: 't',
      title: 'x',
      timeFrame: { all: true },
      schedulerParam: { immediately: true },
      jobParams: {},
    });
    expect(made.id).toBe('9');
  });

  test('one caller giving up does not take the token from the others', async () => {
    const held: (() => void)[] = [];
    const server = await serve(ok, (_request, response) => {
      held.push(() => json(response, 200, { access_token: 'late', expires_in: 60 }));
    });
    const udm = clientOf(server.url);
    const controller = new AbortController();
    const first = udm.listSources(controller.signal);
    const second = udm.listSources();
    await expect.poll(() => held.length).toBe(1);
    controller.abort(new Error('enough'));
    await expect(first).rejects.toThrow('enough');
    held[0]?.();
    expect(await second).toHaveLength(1);
    expect(server.tokens).toHaveLength(1);
  });

  test('a failed renewal does not stick', async () => {
    const server = await serve(ok, (_request, response, number) => {
      if (number === 1) json(response, 401, {});
      else json(response, 200, { access_token: 'good' });
    });
    const udm = clientOf(server.url);
    await errorOf(udm.listSources());
    expect(await udm.listSources()).toHaveLength(1);
  });

  test('it comes a minute before the end, and for short lives a tenth before', async () => {
    let life = 3600;
    let now = 0;
    const server = await serve(ok, (_request, response, number) =>
      json(response, 200, { access_token: `token-${number}`, expires_in: life }),
    );
    const logger = pino({ level: 'silent' });
    const redactor = createRedactor();
    const http = createHttp({
      requestTimeoutMs: 5000,
      maxBodyBytes: 10_000,
      backoffBaseMs: 1,
      limiter: undefined,
      redactor,
      logger,
      onCall: undefined,
    });
    const tokens = createTokenSource({
      auth: { grant: 'client_credentials', ...client },
      tokenUrl: new URL(`${server.url}/auth/v3/oauth/token`),
      apiKey: secrets.apiKey,
      http,
      timeoutMs: 5000,
      redactor,
      logger,
      now: () => now,
    });
    expect(await tokens.get(never)).toBe('token-1');
    now = 3_539_999;
    expect(await tokens.get(never)).toBe('token-1');
    now = 3_540_000;
    life = 10;
    expect(await tokens.get(never)).toBe('token-2');
    now += 8_999;
    expect(await tokens.get(never)).toBe('token-2');
    now += 1;
    expect(await tokens.get(never)).toBe('token-3');
    http.close();
  });
});

describe('refusals of the Authentication API', () => {
  test.each([
    [403, { message: 'Forbidden' }, 'ERR_UDM_API_KEY'],
    [401, { error: 'Unauthorized', error_description: 'Bad credentials' }, 'ERR_UDM_CLIENT_CREDENTIALS'],
    [400, { error: 'invalid_client' }, 'ERR_UDM_CLIENT_CREDENTIALS'],
    [400, { error: 'invalid_grant', error_description: 'Bad credentials' }, 'ERR_UDM_USER_CREDENTIALS'],
    [400, { error: 'unsupported_grant_type' }, 'ERR_UDM_CLIENT_CREDENTIALS'],
    [200, { token: 'x' }, 'ERR_UDM_ANSWER'],
    [200, { access_token: 'line\nbreak' }, 'ERR_UDM_ANSWER'],
  ])('%i %j is %s', async (status, body, code) => {
    const server = await serve(ok, (_request, response) => json(response, status, body));
    const udm = clientOf(server.url, { auth: password });
    const error = await errorOf(udm.checkToken());
    expect(error).toMatchObject({ code, endpoint: 'POST /auth/v3/oauth/token', status });
    expect(error.hint).toBeTruthy();
    expect((await errorOf(udm.listSources())).code).toBe(code);
    expect(server.calls).toEqual([]);
  });

  test('trouble of the token endpoint is retried, and then trouble of the upstream', async () => {
    const server = await serve(ok, (_request, response) => json(response, 503, {}));
    const error = await errorOf(clientOf(server.url).listSources());
    expect(error).toMatchObject({ code: 'ERR_UDM_UNAVAILABLE', endpoint: 'POST /auth/v3/oauth/token' });
    expect(server.tokens).toHaveLength(5);
  });
});
