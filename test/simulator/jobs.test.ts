import { generateKeyPairSync } from 'node:crypto';
import { expect, test } from 'vitest';
import type { SimulatorOptions } from '../../simulator/server.ts';
import { anyString, caller, items, jobBody, matching, pick, simulator } from './support.ts';

async function withJob(options: SimulatorOptions = {}, body = jobBody()) {
  const sim = await simulator(options);
  const client = await caller(sim);
  const created = await client.call('POST', '/v10/export/jobs', body);
  expect(created.status).toBe(202);
  const jobId = String(pick(created.json, 'data', 'id'));
  const history = async () => items(await client.call('GET', `/v10/export/history?jobId=${jobId}`))[0];
  return { sim, client, jobId, history };
}

test('a one-off job runs on the simulated clock, then its files are there', async () => {
  const { sim, client, jobId, history } = await withJob({ exportDuration: 60_000 });
  expect(await history()).toMatchObject({
    jobId,
    title: 'daily',
    status: 'In Progress',
    progress: 0,
    fileName: '',
  });
  expect((await client.call('GET', '/v10/file-metadatas')).json).toMatchObject({
    data: { count: 0, items: [] },
  });

  sim.clock.advance(30_000);
  const historyId = String(pick(await history(), 'id'));
  expect((await client.call('GET', `/v10/export/history/${historyId}/progress`)).json).toMatchObject({
    data: { progress: 50 },
  });
  sim.clock.advance(29_999);
  expect(await history()).toMatchObject({ status: 'In Progress', progress: 99 });
  sim.clock.advance(1);
  expect(await history()).toMatchObject({ status: 'COMPLETED', progress: 100 });

  const files = items(await client.call('GET', `/v10/file-metadatas?historyId=${historyId}`));
  expect(files.length).toBeGreaterThan(0);
  expect(files[0]).toMatchObject({
    historyId,
    jobTitle: 'daily',
    name: matching(/^UCSX-Interactions-202601010000-/),
  });
  const state = sim.state();
  expect(state.jobs).toMatchObject([
    { id: jobId, live: false, endedAt: '2026-01-15T00:01:00.000Z', from: '2026-01-01T00:00:00.000Z' },
  ]);
  expect(state.files.map((f) => f.createdAt)).toEqual(files.map(() => '2026-01-15T00:01:00.000Z'));
});

test('a split size makes a numbered set', async () => {
  const { sim, client } = await withJob({}, jobBody({ jobParams: { fileSplitSize: '100' } }));
  sim.clock.advance(60_000);
  const names = items(await client.call('GET', '/v10/file-metadatas'))
    .map((f) => String(pick(f, 'name')))
    .sort();
  expect(names.length).toBeGreaterThan(1);
  for (const [i, name] of names.entries()) {
    expect(name).toMatch(new RegExp(`-part-000${i + 1}-of-000${names.length}\\.zip\\.smime$`));
  }
});

test('the scenario decides the files, and what is announced of them', async () => {
  const { sim, client } = await withJob({
    filesFor: (job, window) => [{ name: `${job.title} ${window.from?.toISOString()}.smime`, size: 7 }],
    announcedSize: () => 5,
  });
  sim.clock.advance(60_000);
  expect(items(await client.call('GET', '/v10/file-metadatas'))).toMatchObject([
    { name: 'daily 2026-01-01T00:00:00.000Z.smime', size: 5 },
  ]);
  expect(sim.state().files).toMatchObject([{ size: 7 }]);
});

test.for([
  ['no certificate', {}, { certificate: false }],
  ['unparsable dateFrom', { timeFrame: { all: false, dateFrom: 'yesterday', dateTo: '2026-01-02' } }, {}],
  ['unparsable dateTo', { timeFrame: { all: false, dateFrom: '2026-01-02' } }, {}],
  ['from after to', { timeFrame: { all: false, dateFrom: '2026-01-03', dateTo: '2026-01-02' } }, {}],
  ['a number as fileSplitSize', { jobParams: { fileSplitSize: 100 } }, {}],
  ['a word as fileSplitSize', { jobParams: { fileSplitSize: 'big' } }, {}],
  ['unknown source', { source: 'nowhere' }, {}],
  ['unknown type', { type: 'nothing' }, {}],
  ['no title', { title: '' }, {}],
  ['no schedule', { schedulerParam: {} }, {}],
] satisfies [string, Record<string, unknown>, SimulatorOptions][])(
  'a job with %s is refused and not made',
  async ([, changes, options]) => {
    const sim = await simulator(options);
    const reply = await (await caller(sim)).call('POST', '/v10/export/jobs', jobBody(changes));
    expect(reply).toMatchObject({ status: 400, json: { message: anyString } });
    expect(sim.state().jobs).toEqual([]);
  },
);

test('what is in progress cannot be deleted, one by one or in a list', async () => {
  const { sim, client, jobId, history } = await withJob();
  sim.clock.advance(10_000);
  const reply = await client.call('POST', '/v10/export/jobs', jobBody({ title: 'second' }));
  const second = String(pick(reply.json, 'data', 'id'));
  const historyId = String(pick(await history(), 'id'));
  expect((await client.call('DELETE', `/v10/export/jobs/${jobId}`)).status).toBe(400);
  expect((await client.call('DELETE', `/v10/export/history/${historyId}`)).status).toBe(400);

  sim.clock.advance(50_000);
  expect(await client.call('DELETE', `/v10/export/history?jobIDs=${historyId},${second}`)).toMatchObject({
    status: 500,
    json: [second],
  });
  expect((await client.call('GET', `/v10/export/history/${historyId}`)).status).toBe(404);
  expect(await client.call('DELETE', `/v10/export/jobs?jobIDs=${jobId},${second}`)).toMatchObject({
    status: 500,
    json: [second],
  });
  expect((await client.call('GET', `/v10/export/jobs/${jobId}`)).status).toBe(404);
  expect((await client.call('GET', `/v10/export/jobs/${second}`)).status).toBe(200);

  sim.clock.advance(10_000);
  expect((await client.call('DELETE', `/v10/export/jobs/${second}`)).status).toBe(204);
  expect((await client.call('DELETE', '/v10/export/jobs')).status).toBe(400);
});

test('deleting a history entry deletes the files it owns, and the record says so', async () => {
  const { sim, client, history } = await withJob({
    filesFor: () => [
      { name: 'a', size: 1 },
      { name: 'b', size: 1 },
    ],
  });
  sim.clock.advance(60_000);
  expect(
    (await client.call('DELETE', `/v10/export/history/${String(pick(await history(), 'id'))}`)).status,
  ).toBe(204);
  expect(sim.state().files).toMatchObject([{ deletedBy: 'client' }, { deletedBy: 'client' }]);
  expect(sim.requests.at(-1)).toMatchObject({ status: 204, deletedFiles: ['a', 'b'] });
});

test('suspend stops the work, resume goes on with it, cancel ends it', async () => {
  const { sim, client, jobId, history } = await withJob();
  sim.clock.advance(30_000);
  expect(await client.call('POST', `/v10/export/jobs/suspend/${jobId}`)).toMatchObject({
    status: 200,
    json: { data: { suspended: true } },
  });
  sim.clock.advance(3_600_000);
  expect(await history()).toMatchObject({ status: 'suspended', progress: 50 });
  expect((await client.call('POST', `/v10/export/jobs/suspend/${jobId}`)).status).toBe(400);
  expect((await client.call('POST', `/v10/export/jobs/resume/${jobId}`)).status).toBe(200);
  sim.clock.advance(15_000);
  expect(await history()).toMatchObject({ status: 'In Progress', progress: 75 });
  expect((await client.call('POST', `/v10/export/jobs/cancel/${jobId}`)).status).toBe(200);
  sim.clock.advance(60_000);
  expect(await history()).toMatchObject({ status: 'CANCELLED', progress: 75 });
  expect((await client.call('POST', `/v10/export/jobs/cancel/${jobId}`)).status).toBe(400);
  expect(sim.state().files).toEqual([]);
});

test('a job created suspended waits for its resume; a PUT changes it meanwhile', async () => {
  const { sim, client, jobId, history } = await withJob({}, jobBody({ suspended: true }));
  sim.clock.advance(600_000);
  expect(await history()).toBeUndefined();
  expect((await client.call('PUT', `/v10/export/jobs/${jobId}`, jobBody({ title: 'renamed' }))).status).toBe(
    200,
  );
  await client.call('POST', `/v10/export/jobs/resume/${jobId}`);
  expect(await history()).toMatchObject({ title: 'renamed', progress: 0 });
  expect((await client.call('PUT', `/v10/export/jobs/${jobId}`, jobBody())).status).toBe(400);
});

test('unknown ids', async () => {
  const sim = await simulator();
  const client = await caller(sim);
  for (const action of ['cancel', 'suspend', 'resume']) {
    expect((await client.call('POST', `/v10/export/jobs/${action}/none`)).status).toBe(404);
  }
  expect((await client.call('GET', '/v10/export/jobs/none')).status).toBe(404);
  expect((await client.call('GET', '/v10/export/history/none')).status).toBe(404);
  expect((await client.call('GET', '/v10/export/history/none/progress')).status).toBe(400);
  expect((await client.call('GET', '/v10/nothing')).status).toBe(404);
  expect((await client.call('PATCH', '/v10/export/jobs')).status).toBe(405);
});

test('the certificate is read without an envelope and must be X.509 with an RSA key', async () => {
  const sim = await simulator({ certificate: false });
  const client = await caller(sim);
  const upload = (content: string, field = 'file') => {
    const form = new FormData();
    form.set(field, new Blob([content]), 'c.pem');
    return client.call('POST', '/v10/cipher/c.pem', form);
  };
  expect((await client.call('GET', '/v10/cipher')).status).toBe(404);
  expect((await upload('not a certificate')).status).toBe(400);
  const { publicKey } = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
  expect((await upload(publicKey)).status).toBe(400);
  expect((await upload(EC_CERTIFICATE)).status).toBe(400);
  expect((await upload(RSA_CERTIFICATE, 'certificate')).status).toBe(400);
  expect((await upload(RSA_CERTIFICATE)).status).toBe(201);
  expect((await client.call('GET', '/v10/cipher')).json).toMatchObject({
    ccid: anyString,
    name: 'c.pem',
    size: RSA_CERTIFICATE.length,
  });
});

const RSA_CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIICBjCCAW+gAwIBAgIURNmF18unEoqZK4WUdsqjC0FXX7owDQYJKoZIhvcNAQEL
BQAwFDESMBAGA1UEAwwJc2ltdWxhdG9yMCAXDTI2MTEyMzIyMzUwMFoYDzIxMjYx
MDMwMjIzNTAwWjAUMRIwEAYDVQQDDAlzaW11bGF0b3IwgZ8wDQYJKoZIhvcNAQEB
BQADgY0AMIGJAoGBAKr4uiZ8TDvu+vSU/d4vC3VmZs9kEtpLyOu1HcZuOeK2qNSl
3S9xD3taCabQUFm3v1fOXHwqvEbw5VyMOqEtqzbZCQ/mEmOcQXJCDC709ZVlgYgG
6G0SA3YXfLG1zYWpi6yfN/oqsD7nzbMtKZmCS6Xq04LevNIRN+FBB7vieigxAgMB
AAGjUzBRMB0GA1UdDgQWBBQvf/vNDcjm4gH1cGrKGOhrEJv39DAfBgNVHSMEGDAW
gBQvf/vNDcjm4gH1cGrKGOhrEJv39DAPBgNVHRMBAf8EBTADAQH/MA0GCSqGSIb3
DQEBCwUAA4GBAIRlIXXoKy0wZ8mg6aviqApa7jLZEHCEVsdl6aouOd3QwNtI6rFd
j//46z1+vSwP7AAWCYHfA6puH0DXePPHyH26f0IvuUocvoAfs0sVvosRdMSJNRZg
vuqmMFI2Ho1h1zfd94j1dFWaeZm6BHIf8s3t6mFV9toe3G3oEd4BDCYs
-----END CERTIFICATE-----
`;

const EC_CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBfjCCASWgAwIBAgIUC7PRoJAIg1aeJX0u38aGm/VST8UwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJc2ltdWxhdG9yMCAXDTI2MTEyMzIyMzUwMFoYDzIxMjYxMDMw
MjIzNTAwWjAUMRIwEAYDVQQDDAlzaW11bGF0b3IwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAASJTEKFPvYulbsuMLNdxXNVnxs5Fywii9BgzzfKyNdsP6/dIvD05/mi
Ze26ozBLFqRq/EaAAOtGtuHycHpH5ECvo1MwUTAdBgNVHQ4EFgQUqYnkMdXWSK99
yjuByYFPxiiUQoQwHwYDVR0jBBgwFoAUqYnkMdXWSK99yjuByYFPxiiUQoQwDwYD
VR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNHADBEAiALhkFzQYgegQZ/AHeAzK1Y
C8Tvrbx760JmCCjBPzxM2AIgGrZJFu6/sCmSYPsI3gYbVG5rWfT2cPVn8wLhF34T
yxI=
-----END CERTIFICATE-----
`;
