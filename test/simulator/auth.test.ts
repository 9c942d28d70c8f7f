import { expect, test } from 'vitest';
import { simulatedCredentials } from '../../simulator/server.ts';
import { caller, fetchReply, pick, simulator, tokenRequest } from './support.ts';

const forbidden = { status: 403, json: { message: 'Forbidden' } };

test('the password grant wants tenant\\user and gives a token, a refresh token and their lifetime', async () => {
  const sim = await simulator();
  const form = { grant_type: 'password', username: 'demo\\export', password: 'demo-password' };
  const reply = await tokenRequest(sim, form);
  expect(reply).toMatchObject({
    status: 200,
    json: { expires_in: 43_199, token_type: 'bearer', scope: '*' },
  });
  expect(pick(reply.json, 'refresh_token')).toBeTypeOf('string');

  const invalid = { status: 400, json: { error: 'invalid_grant', error_description: 'Bad credentials' } };
  expect(await tokenRequest(sim, { ...form, username: 'export' })).toMatchObject(invalid);
  expect(await tokenRequest(sim, { ...form, password: 'guess' })).toMatchObject(invalid);
});

test('a refresh token works once, and the next one follows', async () => {
  const sim = await simulator();
  const first = await tokenRequest(sim, {
    grant_type: 'password',
    username: 'demo\\export',
    password: 'demo-password',
  });
  const refresh = (reply: typeof first) =>
    tokenRequest(sim, {
      grant_type: 'refresh_token',
      refresh_token: String(pick(reply.json, 'refresh_token')),
    });
  const second = await refresh(first);
  expect(second.status).toBe(200);
  expect(await refresh(first)).toMatchObject({ status: 400, json: { error: 'invalid_grant' } });
  expect((await refresh(second)).status).toBe(200);
});

test('wrong client credentials, wrong grant and wrong API key are told apart', async () => {
  const sim = await simulator();
  expect(
    await tokenRequest(sim, { grant_type: 'client_credentials' }, { authorization: 'Basic bm9wZTpub3Bl' }),
  ).toMatchObject({
    status: 401,
    json: { error: 'Unauthorized', error_description: 'Bad credentials' },
  });
  expect(await tokenRequest(sim, { grant_type: 'magic' })).toMatchObject({
    status: 400,
    json: { error: 'unsupported_grant_type' },
  });
  expect(
    await tokenRequest(sim, { grant_type: 'client_credentials' }, { 'x-api-key': 'wrong' }),
  ).toMatchObject(forbidden);
  const client = await caller(sim);
  expect(await client.call('GET', '/v10/export/jobs', undefined, { 'x-api-key': 'wrong' })).toMatchObject(
    forbidden,
  );
  expect(await fetchReply(`${sim.baseUrl}/udm/v10/version`)).toMatchObject(forbidden);
});

test('a token dies with its lifetime, counted on the simulated clock', async () => {
  const sim = await simulator({ tokenLifetime: 100 });
  const client = await caller(sim);
  sim.clock.advance(99_000);
  expect((await client.call('GET', '/v10/cipher')).status).toBe(200);
  sim.clock.advance(1_000);
  expect((await client.call('GET', '/v10/cipher')).status).toBe(401);
  expect((await client.call('GET', '/v10/version')).status).toBe(200);
});

test('tenants see neither each other nor each other’s tokens', async () => {
  const sim = await simulator({ tenants: ['acme', 'globex'].map(simulatedCredentials) });
  sim.addFile({ name: 'a.smime', size: 10 }, 'acme');
  const [acme, globex] = [await caller(sim, 0), await caller(sim, 1)];
  expect((await acme.call('GET', '/v10/files/a.smime')).status).toBe(303);
  expect((await globex.call('GET', '/v10/files/a.smime')).status).toBe(404);
  expect(
    (await acme.call('GET', '/v10/files/a.smime', undefined, { 'x-api-key': 'globex-api-key' })).status,
  ).toBe(401);
});
