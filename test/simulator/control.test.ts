import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect, onTestFinished, test } from 'vitest';
import { startSimulator } from '../../simulator/server.ts';
import { caller, containing, fetchReply, items, jobBody, locate, pick, simulator } from './support.ts';

const MAIN = new URL('../../simulator/main.ts', import.meta.url).pathname;

test('another process can set faults, move the clock and read log, state and digests', async () => {
  const sim = await simulator();
  const client = await caller(sim);
  const control = (method: string, path: string, body?: unknown) =>
    fetchReply(`${sim.baseUrl}/_sim/${path}`, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });

  const added = await control('POST', 'faults', { endpoint: '/^GET .*cipher/', kind: 'html', times: 1 });
  expect(added.status).toBe(201);
  expect((await client.call('GET', '/v10/cipher')).status).toBe(502);
  expect((await control('GET', 'faults')).json).toMatchObject([
    { fired: 1, rule: { endpoint: '/^GET .*cipher/' } },
  ]);
  expect((await control('DELETE', `faults?id=${String(pick(added.json, 'id'))}`)).status).toBe(204);
  for (const bad of [
    { kind: 'html' },
    { endpoint: 'x', kind: 'sabotage' },
    { endpoint: '/(/', kind: 'html' },
    { endpoint: 'x', kind: 'status' },
  ]) {
    expect((await control('POST', 'faults', bad)).status).toBe(400);
  }

  await client.call('POST', '/v10/export/jobs', jobBody());
  expect((await control('POST', 'clock', { advance: 60_000 })).json).toMatchObject({
    iso: '2026-01-15T00:01:00.000Z',
    speed: 0,
  });
  const state = (await control('GET', 'state')).json;
  expect(state).toMatchObject({ jobs: [{ live: false }] });
  const name = String(pick(state, 'files', 0, 'name'));
  expect((await control('GET', `digest?name=${name}`)).json).toEqual(await sim.fileDigest(name));
  expect((await control('GET', 'digest?name=none')).status).toBe(404);

  const log = (await control('GET', 'log?since=1')).json;
  expect(log).toMatchObject([
    { seq: 2, endpoint: 'GET /v10/cipher', faults: ['html'] },
    { seq: 3, body: { title: 'daily' } },
  ]);
  expect((await control('POST', 'files', { name: 'loose', size: 3 })).status).toBe(201);
  expect(sim.state().files.at(-1)).toMatchObject({ name: 'loose', size: 3 });
});

test('the record knows who sent what, and holds no secret', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'simulator-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const logFile = join(directory, 'requests.jsonl');
  const sim = await simulator({ logFile });
  sim.addFile({ name: 'f', size: 10 });
  const client = await caller(sim);
  const url = await locate(client, 'f');
  await fetchReply(url);
  const signature = new URL(url).searchParams.get('X-Amz-Signature') ?? '';
  const text = readFileSync(logFile, 'utf8');
  for (const secret of [client.token, signature, 'demo-client-secret', 'demo-api-key', 'demo-password']) {
    expect(secret).not.toBe('');
    expect(text).not.toContain(secret);
    expect(JSON.stringify(sim.requests)).not.toContain(secret);
  }
  expect(sim.requests).toMatchObject([
    { endpoint: 'POST /auth/v3/oauth/token', grant: 'client_credentials', tenant: 'demo' },
    {
      endpoint: 'GET /v10/files/{filename}',
      status: 303,
      hasAuthorization: true,
      hasApiKey: true,
      files: ['f'],
    },
    {
      endpoint: 'GET /s3/{filename}',
      status: 200,
      bytesSent: 10,
      outcome: 'answered',
      query: { 'X-Amz-Signature': '***' },
    },
  ]);
});

test('the line of a delete is in the file before its answer arrives', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'simulator-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const logFile = join(directory, 'requests.jsonl');
  const sim = await simulator({ logFile });
  sim.addFile({ name: 'f', size: 10 });
  const client = await caller(sim);
  const headers = { 'x-api-key': 'demo-api-key', authorization: `Bearer ${client.token}` };
  const seen = await new Promise<string>((resolve, reject) => {
    request(`${sim.baseUrl}/udm/v10/files/f`, { method: 'DELETE', headers }, (res) => {
      res.resume();
      resolve(readFileSync(logFile, 'utf8'));
    })
      .on('error', reject)
      .end();
  });
  const lines = seen
    .trim()
    .split('\n')
    .map((line): unknown => JSON.parse(line));
  expect(lines).toContainEqual(
    expect.objectContaining({ event: 'request', method: 'DELETE', status: 204, deletedFiles: ['f'] }),
  );
});

test('the clock runs at its speed', async () => {
  const sim = await simulator({ speed: 100_000, exportDuration: 3_600_000 });
  const client = await caller(sim);
  await client.call('POST', '/v10/export/jobs', jobBody());
  await expect.poll(() => sim.state().jobs[0]?.live, { timeout: 20_000 }).toBe(false);
});

test('a taken port rejects, and nothing is left behind', async () => {
  const sim = await simulator();
  await expect(startSimulator({ port: Number(new URL(sim.baseUrl).port) })).rejects.toThrow('EADDRINUSE');
});

async function run(...args: string[]) {
  const child = spawn(process.execPath, [MAIN, ...args]);
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => err.push(chunk));
  await once(child, 'close');
  return { code: child.exitCode, out: Buffer.concat(out).toString(), err: Buffer.concat(err).toString() };
}

test('the command explains itself and refuses wrong flags with exit code 2', async () => {
  expect(await run('--help')).toMatchObject({
    code: 0,
    out: containing('Example: npm run simulator'),
    err: '',
  });
  for (const args of [
    ['--prot', '1'],
    ['--port', 'x'],
    ['--port', '70000'],
    ['--shape', 'round'],
    ['--file-size', '9-1'],
    ['stray'],
  ]) {
    expect(await run(...args)).toMatchObject({ code: 2, out: '', err: containing('--help') });
  }
});

test('the command prints where it listens, serves there, and ends on SIGTERM', async () => {
  const child = spawn(process.execPath, [MAIN, '--port', '0', '--tenant', 'acme', '--speed', '1000'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  let baseUrl = '';
  for await (const line of createInterface(child.stdout)) {
    baseUrl ||= /API +(http\S+)/.exec(line)?.[1] ?? '';
    if (line.includes('Ctrl-C')) break;
  }
  const reply = await fetchReply(`${baseUrl}/udm/v10/version`, { headers: { 'x-api-key': 'acme-api-key' } });
  expect(reply.status).toBe(200);
  child.kill('SIGTERM');
  await once(child, 'close');
  expect(child.exitCode).toBe(0);
});

test('items of a recorded list name what was shown', async () => {
  const sim = await simulator();
  const client = await caller(sim);
  await client.call('POST', '/v10/export/jobs', jobBody());
  const [job] = items(await client.call('GET', '/v10/export/jobs'));
  expect(sim.requests.at(-1)?.jobs).toEqual([pick(job, 'id')]);
});
