import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { read, status } from './contract.ts';
import { definition, makePlace } from './place.ts';
import type { Place } from './place.ts';
import type { Running } from './processes.ts';

let place: Place;
/** Takes its time while the other tests run. */
let hopeless: Running;
const nowhere = { DATABASE_URL: 'postgres://nobody@127.0.0.1:1/nothing' };
beforeAll(async () => {
  place = await makePlace();
  hopeless = place.start('worker', nowhere);
  await place.configure({
    definitions: { contacts: definition({ schedule: { cron: '* * * * * *' } }) },
  });
});
afterAll(() => place[Symbol.asyncDispose]());

test('a worker waits for a Postgres that starts after it, works by its schedule, and ends on SIGTERM', async () => {
  const database = new URL(place.databaseUrl);
  const gate = createServer((client) => {
    const server = connect(Number(database.port || 5432), database.hostname);
    client.pipe(server).pipe(client);
    for (const end of [client, server])
      end.on('error', () => [client, server].map((socket) => socket.destroy()));
  });
  gate.listen(0, '127.0.0.1');
  await once(gate, 'listening');
  const { port } = gate.address() as AddressInfo;
  gate.close();
  await once(gate, 'close');
  const behind = new URL(database);
  behind.host = `127.0.0.1:${port}`;

  const worker = place.start('worker --health-file alive', { DATABASE_URL: behind.href });
  await expect
    .poll(() => worker.said(), { timeout: 30_000 })
    .toContain('Postgres is not ready; trying again');
  await expect(readFile(join(place.folder, 'alive'))).rejects.toThrow('ENOENT');
  gate.listen(port, '127.0.0.1');
  await expect.poll(() => worker.said(), { timeout: 30_000 }).toContain('"to":"done"');
  expect((await place.run('health --health-file alive')).code).toBe(0);
  const told = read(status, (await place.run('status --json')).stdout);
  expect(told).toMatchObject({ verdict: 'safe', definitions: [{ done: 1, nextTickAt: expect.any(String) }] });
  worker.child.kill('SIGTERM');
  expect(await worker.ended).toMatchObject({
    code: 0,
    stderr: '',
    stdout: expect.stringContaining('worker has stopped'),
  });
  gate.close();
});

test('a worker that is told to stop while it waits for Postgres does so', async () => {
  const worker = place.start('worker', nowhere);
  await expect.poll(() => worker.said(), { timeout: 30_000 }).toContain('Postgres is not ready');
  worker.child.kill('SIGINT');
  expect(await worker.ended).toMatchObject({ code: 130, stderr: '' });
});

test('a worker whom Postgres refuses does not wait: time is no cure', async () => {
  const wrong = new URL(place.databaseUrl);
  wrong.password = 'planted-wrong';
  const ended = await place.run('worker', { DATABASE_URL: wrong.href });
  expect(ended).toMatchObject({ code: 1, stdout: '' });
  expect(ended.stderr).toMatch(/^udm-sync: .*password authentication failed.* \[ERR_DATABASE\]\n$/);
});

test('status tells what a run has to wait for', async () => {
  await place.configure({
    definitions: {
      contacts: definition({
        windows: { length: '1w', lag: '0s' },
        retry: { minDelay: '1s', maxDelay: '1s' },
      }),
    },
  });
  await place.sql('truncate udm_sync.runs cascade');
  const fault = place.simulator.faults.add({
    endpoint: 'POST /v10/export/jobs',
    kind: 'status',
    status: 403,
    body: { message: 'no role' },
  });
  const cut = await place.run('run --timeout 3s --json');
  fault.remove();
  expect(cut.code, cut.stderr).toBe(4);
  const told = await place.run('status');
  expect(told.stdout).toMatch(/^Safe so far: 1 window under way, 0 not planned yet\.\n/);
  expect(told.stdout).toMatch(
    /\nTried again until it works, because of what is around them:\nRUN .*\n\d+ +contacts .* (planned|creating) .*not allowed: no role The user or client lacks a role/,
  );
});

test('a worker that cannot reach Postgres gives up after half a minute, and says why', async () => {
  const ended = await hopeless.ended;
  expect(ended.code).toBe(1);
  expect(ended.stderr).toMatch(
    /^udm-sync: Postgres at postgres:\/\/127\.0\.0\.1:1\/nothing cannot be used: connect ECONNREFUSED/,
  );
  const waits = ended.stdout
    .trim()
    .split('\n')
    .map((line): unknown => JSON.parse(line));
  expect(waits).toMatchObject(
    [500, 1000, 2000, 4000, 5000, 5000, 5000, 5000].map((retryInMs, at) => ({
      level: 'warn',
      retriesLeft: 8 - at,
      retryInMs,
    })),
  );
});
