import { describe, expect, test } from 'vitest';
import type { CallReport } from '../../src/udm/http.ts';
import type { ExportJobRequest } from '../../src/udm/types.ts';
import { clientOf, errorOf, json, serve } from './support.ts';
import type { Handler } from './support.ts';

const request: ExportJobRequest = {
  source: 'UCSX',
  type: 'INTERACTIONS',
  title: 'nightly',
  timeFrame: { all: true },
  schedulerParam: { immediately: true },
  jobParams: {},
};

/** Answers with these statuses, one after the other; then with 200 and a list. */
function statuses(...list: number[]): Handler {
  return (_request, response, number) => {
    const status = list[number - 1];
    if (status === undefined) json(response, 200, ['UCSX']);
    else json(response, status, { message: `trouble ${status}` });
  };
}

/** Breaks the connection instead of answering, as often as said. */
function resets(times: number): Handler {
  return (_request, response, number) => {
    if (number > times) json(response, 200, ['UCSX']);
    else response.socket?.resetAndDestroy();
  };
}

/** A port on which nobody listens any more. */
async function closedPort(): Promise<string> {
  const server = await serve(() => undefined);
  await new Promise<void>((resolve) => server.server.close(() => resolve()));
  return server.url;
}

describe('what is retried', () => {
  test.each([[408], [429], [500], [502], [503], [504]])('a %i, then success', async (status) => {
    const server = await serve(statuses(status, status));
    expect(await clientOf(server.url).listSources()).toEqual([{ name: 'UCSX' }]);
    expect(server.calls).toHaveLength(3);
  });

  test.each([[400], [403], [409], [501]])('a %i is final', async (status) => {
    const server = await serve(statuses(status));
    await errorOf(clientOf(server.url).listSources());
    expect(server.calls).toHaveLength(1);
  });

  test('a broken connection, then success', async () => {
    const server = await serve(resets(2));
    expect(await clientOf(server.url).listSources()).toHaveLength(1);
    expect(server.calls).toHaveLength(3);
  });

  test('a body that breaks off in the middle, then success', async () => {
    const server = await serve((_request, response, number) => {
      if (number > 1) return json(response, 200, ['UCSX']);
      response.writeHead(200, { 'content-length': '1000' }).write('["UC');
      setImmediate(() => response.socket?.end());
    });
    expect(await clientOf(server.url).listSources()).toHaveLength(1);
    expect(server.calls).toHaveLength(2);
  });

  test.each([
    ['cancelJob', 'POST'],
    ['suspendJob', 'POST'],
    ['resumeJob', 'POST'],
    ['deleteJob', 'DELETE'],
  ] as const)('%s is repeated', async (name, method) => {
    const server = await serve(statuses(503));
    await clientOf(server.url)[name]('1');
    expect(server.calls.map((call) => call.method)).toEqual([method, method]);
  });

  test('PUT and the upload of a certificate are repeated with their body', async () => {
    const server = await serve(statuses(503));
    await clientOf(server.url).updateJob('1', request);
    expect(server.calls.map(({ body }) => JSON.parse(body) as unknown)).toEqual([request, request]);
    const cipher = await serve(statuses(503));
    await clientOf(cipher.url).uploadCipher('a.pem', Buffer.from('PEM'));
    expect(cipher.calls).toHaveLength(2);
    expect(cipher.calls[1]?.body).toBe(cipher.calls[0]?.body);
  });

  test('it ends after five attempts, with the last answer in the error', async () => {
    const server = await serve(statuses(...Array<number>(20).fill(503)));
    const error = await errorOf(clientOf(server.url).listSources());
    expect(error).toMatchObject({ code: 'ERR_UDM_UNAVAILABLE', status: 503, retryable: true });
    expect(error.message).toContain('trouble 503');
    expect(server.calls).toHaveLength(5);
  });

  test('Retry-After is waited for', async () => {
    const server = await serve((_request, response, number) => {
      if (number === 1) json(response, 429, {}, { 'retry-after': '1' });
      else json(response, 200, []);
    });
    await clientOf(server.url).listSources();
    const [first, second] = server.calls;
    expect((second?.at ?? 0) - (first?.at ?? 0)).toBeGreaterThanOrEqual(990);
  });

  test('a Retry-After beyond the deadline is not waited for', async () => {
    const server = await serve((_request, response) => json(response, 429, {}, { 'retry-after': '3600' }));
    const error = await errorOf(clientOf(server.url).listSources());
    expect(error).toMatchObject({ code: 'ERR_UDM_UNAVAILABLE', status: 429, retryable: true });
    expect(server.calls).toHaveLength(1);
  });
});

describe('deadlines and aborts', () => {
  test('an attempt without an answer is broken off and repeated', async () => {
    const server = await serve((_request, response, number) => {
      if (number > 1) json(response, 200, []);
    });
    await clientOf(server.url, { requestTimeoutMs: 300 }).listSources();
    expect(server.calls).toHaveLength(2);
  });

  test('the deadline holds over all attempts', async () => {
    const server = await serve(() => undefined);
    const error = await errorOf(clientOf(server.url, { timeoutMs: 300 }).listSources());
    expect(error).toMatchObject({
      code: 'ERR_UDM_TIMEOUT',
      retryable: true,
      endpoint: 'GET /v10/data/sources',
    });
  });

  test("the caller's reason is thrown", async () => {
    const server = await serve(() => undefined);
    const controller = new AbortController();
    const reason = new Error('shutting down');
    const call = clientOf(server.url).listSources(controller.signal);
    await expect.poll(() => server.calls.length).toBe(1);
    controller.abort(reason);
    await expect(call).rejects.toBe(reason);
    await expect(clientOf(server.url).listSources(controller.signal)).rejects.toBe(reason);
  });
});

describe('creating a job', () => {
  test.each([[500], [502], [503], [501], [408]])(
    'a %i is an unknown outcome and not repeated',
    async (status) => {
      const server = await serve(statuses(status));
      const error = await errorOf(clientOf(server.url).createJob(request));
      expect(error).toMatchObject({ code: 'ERR_UDM_UNKNOWN_OUTCOME', status, retryable: true });
      expect(server.calls).toHaveLength(1);
    },
  );

  test('a reset is an unknown outcome and not repeated', async () => {
    const server = await serve(resets(1));
    const error = await errorOf(clientOf(server.url).createJob(request));
    expect(error).toMatchObject({ code: 'ERR_UDM_UNKNOWN_OUTCOME', retryable: true });
    expect(server.calls).toHaveLength(1);
  });

  test.each([
    ['the attempt', { requestTimeoutMs: 200 }],
    ['the deadline', { timeoutMs: 200 }],
  ])('a timeout of %s is an unknown outcome', async (_, options) => {
    const server = await serve(() => undefined);
    const error = await errorOf(clientOf(server.url, options).createJob(request));
    expect(error.code).toBe('ERR_UDM_UNKNOWN_OUTCOME');
    expect(server.calls).toHaveLength(1);
  });

  test('so is an abort once it was sent', async () => {
    const server = await serve(() => undefined);
    const controller = new AbortController();
    const call = errorOf(clientOf(server.url).createJob(request, controller.signal));
    await expect.poll(() => server.calls.length).toBe(1);
    controller.abort(new Error('shutting down'));
    expect((await call).code).toBe('ERR_UDM_UNKNOWN_OUTCOME');
  });

  test('it has a connection of its own: an idle one may be closed just as the request goes out', async () => {
    const sockets = new Set<unknown>();
    const server = await serve((_request, response) => json(response, 200, { id: 1 }));
    server.server.on('connection', (socket) => sockets.add(socket));
    const client = clientOf(server.url);
    await client.getJob('1');
    await client.getJob('1');
    expect(sockets.size).toBe(1);
    await client.createJob(request);
    expect(sockets.size).toBe(2);
  });

  test('a connection that never came about is not', async () => {
    const { url } = await serve(() => undefined);
    const gone = await closedPort();
    const client = clientOf(gone, { auth: { grant: 'token', token: 'fixed' } });
    expect(await errorOf(client.createJob(request))).toMatchObject({
      code: 'ERR_UDM_UNAVAILABLE',
      retryable: true,
    });
    const unknown = clientOf('http://nowhere.invalid', {
      authUrl: url,
      auth: { grant: 'token', token: 'fixed' },
    });
    expect((await errorOf(unknown.createJob(request))).code).toBe('ERR_UDM_UNAVAILABLE');
  });

  test('a 429 was not looked at, and a 400 was refused', async () => {
    const busy = await serve(statuses(429));
    expect((await errorOf(clientOf(busy.url).createJob(request))).code).toBe('ERR_UDM_UNAVAILABLE');
    expect(busy.calls).toHaveLength(1);
    const strict = await serve(statuses(400));
    const error = await errorOf(clientOf(strict.url).createJob(request));
    expect(error.code).toBe('ERR_UDM_BAD_REQUEST');
    expect(error.message).toContain('trouble 400');
  });
});

describe('errors', () => {
  async function errorFor(status: number, body: unknown) {
    const server = await serve((_request, response) => json(response, status, body));
    return errorOf(clientOf(server.url).updateJob('17', request));
  }

  test.each([
    [403, { message: 'Forbidden' }, 'ERR_UDM_API_KEY'],
    [403, { status: { code: 403, message: 'User lacks permission' } }, 'ERR_UDM_FORBIDDEN'],
    [400, { message: 'title is too long' }, 'ERR_UDM_BAD_REQUEST'],
    [409, { errors: [{ message: 'exists' }] }, 'ERR_UDM_BAD_REQUEST'],
    [404, { message: 'no such job' }, 'ERR_UDM_NOT_FOUND'],
    [401, { error: 'Unauthorized' }, 'ERR_UDM_UNAUTHORIZED'],
    [302, {}, 'ERR_UDM_ANSWER'],
    [501, {}, 'ERR_UDM_ANSWER'],
  ])('%i %j is %s', async (status, body, code) => {
    const error = await errorFor(status, body);
    expect(error).toMatchObject({ code, status, retryable: false, endpoint: 'PUT /v10/export/jobs/{id}' });
    expect(error.hint).toBeTruthy();
  });

  test('the words of the upstream are in the message, in one short line', async () => {
    const error = await errorFor(400, { message: `bad\n\u001b[31mtitle ${'x'.repeat(1000)}` });
    expect(error.message).toMatch(/bad \[31mtitle x+…$/);
    expect(error.message.length).toBeLessThan(300);
    expect(error.excerpt?.length).toBeLessThanOrEqual(200);
  });

  test('an HTML error page is an error like any other', async () => {
    const server = await serve((_request, response) =>
      response.writeHead(403, { 'content-type': 'text/html' }).end('<html><h1>Blocked</h1></html>'),
    );
    expect((await errorOf(clientOf(server.url).listSources())).code).toBe('ERR_UDM_FORBIDDEN');
  });
});

test('requests of one tenant are spaced', async () => {
  const server = await serve((_request, response) => json(response, 200, []));
  const client = clientOf(server.url, { requestsPerSecond: 20, auth: { grant: 'token', token: 'fixed' } });
  const begun = performance.now();
  await Promise.all([client.listSources(), client.listSources(), client.listSources(), client.listSources()]);
  // Counted from before the first, which may reach a busy machine late.
  expect(Math.max(...server.calls.map(({ at }) => at)) - begun).toBeGreaterThanOrEqual(130);
});

test('every attempt is reported', async () => {
  const reports: CallReport[] = [];
  const server = await serve(resets(1));
  const client = clientOf(server.url, { onCall: (report) => reports.push(report) });
  await client.listSources();
  expect(reports.map(({ endpoint, status, attempt }) => ({ endpoint, status, attempt }))).toEqual([
    { endpoint: 'POST /auth/v3/oauth/token', status: 200, attempt: 1 },
    { endpoint: 'GET /v10/data/sources', status: undefined, attempt: 1 },
    { endpoint: 'GET /v10/data/sources', status: 200, attempt: 2 },
  ]);
});

test('names that would make another path of it are not sent', async () => {
  const server = await serve((_request, response) => response.writeHead(204).end());
  const client = clientOf(server.url);
  for (const name of ['', '.', '..', '../export/jobs', 'a/../b', '..\\x', '\ud800'])
    expect((await errorOf(client.deleteFile(name))).code).toBe('ERR_UDM_NAME');
  expect(server.calls).toEqual([]);
});

test('settings that cannot work are refused at once', () => {
  for (const options of [
    { baseUrl: 'ftp://x' },
    { baseUrl: 'https://user:secret@x' },
    { baseUrl: 'nonsense' },
    { apiKey: 'key\n' },
    { apiKey: '' },
  ])
    expect(() => clientOf('https://gapi.test', options)).toThrow(
      expect.objectContaining({ code: 'ERR_USAGE' }),
    );
});
