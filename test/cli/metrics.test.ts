import { once } from 'node:events';
import { createServer } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { freePort, get, valueOf } from '../metrics/serving.ts';
import { definition, makePlace } from './place.ts';
import type { Place } from './place.ts';

let place: Place;
beforeAll(async () => {
  place = await makePlace();
});
afterAll(() => place[Symbol.asyncDispose]());

const configure = (metrics: Record<string, unknown>) =>
  place.configure({
    metrics,
    definitions: { contacts: definition({ schedule: { cron: '* * * * * *' } }) },
  });

test('a worker serves metrics and probes while it works', async () => {
  const port = await freePort();
  await configure({ port });
  const worker = place.start('worker --health-file alive');
  const at = (path: string) => get(`http://127.0.0.1:${port}${path}`);
  await expect.poll(() => worker.said(), { timeout: 30_000 }).toContain('"to":"done"');
  const { text } = await at('/metrics');
  expect(valueOf(text, 'udm_sync_stored_files_total', { definition: 'contacts' })).toBeGreaterThan(0);
  expect(valueOf(text, 'process_resident_memory_bytes')).toBeGreaterThan(0);
  expect((await at('/healthz')).status).toBe(200);
  expect(await at('/readyz')).toMatchObject({ status: 200, text: '{"ok":true,"reasons":[]}\n' });
  expect((await place.run('health --health-file alive')).code).toBe(0);
  worker.child.kill('SIGTERM');
  expect(await worker.ended).toMatchObject({ code: 0, stderr: '' });
  await expect(at('/healthz')).rejects.toThrow();
});

test('a port that another process has is taken once it is free, and work goes on meanwhile', async () => {
  const other = createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  const address = other.address();
  const port = typeof address === 'object' ? (address?.port ?? 0) : 0;
  await configure({ port, host: '127.0.0.1' });
  const worker = place.start('worker');
  await expect.poll(() => worker.said(), { timeout: 30_000 }).toContain('worker is running');
  expect(worker.said()).toContain('another process has the port of the metrics');
  other.close();
  await expect.poll(() => worker.said(), { timeout: 30_000 }).toContain('serving /metrics');
  expect((await get(`http://127.0.0.1:${port}/healthz`)).status).toBe(200);
  worker.child.kill('SIGTERM');
  expect(await worker.ended).toMatchObject({ code: 0, stderr: '' });
});

test('an address that is not of this machine is refused with what to do', async () => {
  await configure({ port: 9464, host: '192.0.2.1' });
  const ended = await place.run('worker');
  expect(ended.code).toBe(1);
  expect(ended.stderr).toMatch(
    /^udm-sync: The metrics cannot be served on 192\.0\.2\.1, port 9464: .*EADDRNOTAVAIL.* Correct metrics\.host and metrics\.port .* \[ERR_METRICS_LISTEN\]\n$/,
  );
});

test('nothing is served by run, and by a worker without a port', async () => {
  const port = await freePort();
  await configure({ port, host: '127.0.0.1' });
  const ran = await place.run('run');
  expect(ran.code, ran.stdout).toBe(0);
  expect(ran.stdout).not.toContain('serving');
  await configure({ port: false });
  const worker = place.start('worker');
  await expect.poll(() => worker.said(), { timeout: 30_000 }).toContain('worker is running');
  expect(worker.said()).not.toContain('serving');
  worker.child.kill('SIGTERM');
  expect((await worker.ended).code).toBe(0);
});

test.each([
  ['-1', { port: -1 }],
  ['65536', { port: 65_536 }],
  ['true', { port: true }],
])('metrics.port: %s is refused', async (value, metrics) => {
  await configure(metrics);
  const ended = await place.run('worker');
  expect(ended).toMatchObject({ code: 2, stdout: '' });
  expect(ended.stderr).toContain(`metrics.port must be a port from 1 to 65535, or 0 or false for none`);
  expect(ended.stderr).toContain(value);
});
