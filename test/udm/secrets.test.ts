import { inspect } from 'node:util';
import { Writable } from 'node:stream';
import { pino } from 'pino';
import { expect, test } from 'vitest';
import type { UdmAuth } from '../../src/udm/auth.ts';
import { createRedactor } from '../../src/udm/redact.ts';
import { all, clientOf, errorOf, json, secrets, serve } from './support.ts';
import type { Handler } from './support.ts';

const auth: UdmAuth = {
  grant: 'password',
  clientId: 'client',
  clientSecret: secrets.clientSecret,
  username: 'acme\\robot',
  password: secrets.password,
};
const token = 'eyJhbGciOi.access-token-77.sig';
const refresh = 'refresh-token-4242';
const signature = '5ec3e75ec3e7';
const hidden = [
  secrets.apiKey,
  secrets.clientSecret,
  secrets.password,
  JSON.stringify(secrets.password).slice(1, -1),
  encodeURIComponent(secrets.password),
  Buffer.from(`client:${secrets.clientSecret}`).toString('base64'),
  token,
  refresh,
  signature,
];

const giveToken: Handler = (_request, response) =>
  json(response, 200, { access_token: token, refresh_token: refresh, expires_in: 43199 });

/** Everything a request carried, thrown back at the client. */
const echo = (status: number): Handler => {
  return (request, response) => {
    json(response, status, {
      error: [secrets.password, secrets.apiKey, token, refresh, secrets.clientSecret].join(' or '),
      message: `${token} / ${secrets.password} / Bad: ${JSON.stringify(request.headers)} ${request.body}`,
      credentials: { password: secrets.password, refresh_token: refresh },
      url: `https:\\/\\/s3.test/a?X-Amz-Signature=${signature}`,
    });
  };
};

function shown(error: unknown): string {
  const chain: string[] = [];
  for (let at: unknown = error; at instanceof Error; at = at.cause)
    chain.push(at.message, at.stack ?? '', JSON.stringify(at), inspect(at, { depth: 10, showHidden: true }));
  return chain.join('\n');
}

function expectClean(text: string): void {
  for (const secret of hidden) expect(text).not.toContain(secret);
}

test.each([[400], [401], [403], [500], [200]])(
  'a %i that echoes everything leaves no secret in the error',
  async (status) => {
    const server = await serve(echo(status), giveToken);
    const client = clientOf(server.url, { auth });
    for (const call of [
      () => client.getHistoryProgress('1'),
      () => client.presignFiles(['a.zip']),
      () => client.locateFile('a.zip'),
      () => all(client.listJobs()),
    ]) {
      const text = shown(await errorOf(call()));
      expect(text).toContain('ERR_UDM_');
      expectClean(text);
    }
  },
);

test.each([[400], [401], [403], [500], [200]])('nor does the token endpoint with a %i', async (status) => {
  const server = await serve(() => undefined, echo(status));
  const text = shown(await errorOf(clientOf(server.url, { auth }).checkToken()));
  expect(text).toContain('ERR_UDM_');
  expectClean(text);
});

test('nor do connections that break, at either hop', async () => {
  const server = await serve((_request, response) => void response.socket?.resetAndDestroy(), giveToken);
  const client = clientOf(server.url, { auth });
  expectClean(shown(await errorOf(client.listSources())));
  const location = `http://127.0.0.1:${server.port}/a.zip?X-Amz-Signature=${signature}`;
  const redirecting = await serve(
    (_request, response) => response.writeHead(303, { location }).end(),
    giveToken,
  );
  const url = await clientOf(redirecting.url, { auth }).locateFile('a.zip');
  if (url === undefined) throw new Error('expected a URL');
  const error = await errorOf(client.download(url));
  expect(error.code).toBe('ERR_DOWNLOAD_UNREACHABLE');
  expectClean(shown(error));
  expectClean(inspect(url, { depth: 10, showHidden: true }));
});

test('the log of a whole conversation holds none', async () => {
  let log = '';
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      log += chunk.toString();
      done();
    },
  });
  const logger = pino({ level: 'trace' }, sink);
  const server = await serve((request, response, number) => {
    if (number === 1) json(response, 401, {});
    else if (number === 2) echo(503)(request, response, number);
    else response.writeHead(303, { location: `https://s3.test/a?X-Amz-Signature=${signature}` }).end();
  }, giveToken);
  await clientOf(server.url, { auth, logger }).locateFile('a.zip');
  expect(log).toContain('upstream call');
  expect(log).toContain('retry');
  expectClean(log);
});

test('what looks like a credential is blotted out even if nobody named it', () => {
  const redactor = createRedactor();
  const credentials = [
    'Authorization: Bearer abc.def.ghi',
    'authorization=Basic dXNlcjpwYXNz',
    '{"access_token":"abc.def.ghi"}',
    "{'refresh_token': 'abc.def.ghi'}",
    'x-api-key: abc.def.ghi',
    'password=abc.def.ghi&x=1',
    'GET https://s3.test/a?sig=abc.def.ghi',
    'GET https://s3.test/a?X-Amz-Signature=abc.def.ghi&X-Amz-Date=1',
    String.raw`"https:\/\/s3.test\/a?X-Amz-Signature=abc.def.ghi"`,
    '<SignatureProvided>abc.def.ghi</SignatureProvided>',
  ];
  for (const line of credentials) {
    expect(redactor.text(line)).not.toMatch(/abc\.def\.ghi|dXNlcjpwYXNz/);
    expect(redactor.text(line)).toContain('[redacted]');
  }
  expect(redactor.text('title is too long: "nightly"')).toBe('title is too long: "nightly"');
  expect(redactor.excerpt('')).toBeUndefined();
  expect(redactor.excerpt('x'.repeat(500))).toHaveLength(200);
});
