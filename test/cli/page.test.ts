import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { definition, makePlace } from './place.ts';
import type { Place } from './place.ts';
import { forbid } from './processes.ts';
import type { Running } from './processes.ts';

const token = 'planted-page-token-77d1e0';

let place: Place;
beforeAll(async () => {
  forbid(token);
  place = await makePlace();
  await place.configure({
    page: { port: 0, token },
    definitions: { contacts: definition({ schedule: { cron: '* * * * * *' } }) },
  });
});
afterAll(() => place[Symbol.asyncDispose]());

/** Where a process says that it serves the page. */
async function addressOf(running: Running): Promise<string> {
  let address = '';
  await expect
    .poll(
      () => {
        address = /"address":"(http:[^"]+)"/.exec(running.said())?.[1] ?? '';
        return address;
      },
      { timeout: 30_000 },
    )
    .not.toBe('');
  return address;
}

test('a worker serves the page, which shows what it has done, and ends with it', async () => {
  const worker = place.start('worker --health-file alive');
  const address = await addressOf(worker);
  expect(address).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
  const page = async () => (await fetch(address)).text();
  await expect
    .poll(page, { timeout: 30_000 })
    .toContain('Safe: every window that is due is verified in the sink.');
  worker.child.kill('SIGTERM');
  expect(await worker.ended).toMatchObject({ code: 0, stderr: '' });
  await expect(fetch(address)).rejects.toThrow();
});

test('a port that is taken, or a page that is switched off, stops no worker', async () => {
  const holder = createServer().listen(0, '127.0.0.1');
  await once(holder, 'listening');
  const { port } = holder.address() as AddressInfo;
  const worker = place.start(`worker --health-file alive --page-port ${port}`);
  await expect.poll(() => worker.said(), { timeout: 30_000 }).toContain('worker is running');
  expect(worker.said()).toContain(
    `"code":"ERR_PAGE","reason":"The status page cannot be served on 127.0.0.1:${port}: the port is in use. Choose another with page.port or --page-port, or set page.enabled: false."`,
  );
  worker.child.kill('SIGTERM');
  expect(await worker.ended).toMatchObject({ code: 0 });
  holder.close();

  const without = place.start('worker --health-file alive', { UDM_SYNC_PAGE__ENABLED: 'false' });
  await expect.poll(() => without.said(), { timeout: 30_000 }).toContain('worker is running');
  expect(without.said()).not.toContain('status page');
  without.child.kill('SIGTERM');
  expect(await without.ended).toMatchObject({ code: 0 });
});

test('run and backfill serve the page for --page-port alone', async () => {
  const [quiet, loud, back] = [
    await place.run('run --json'),
    await place.run('run --json --page-port 0'),
    await place.run('backfill contacts --from 2026-01-01 --to 2026-01-02 --page-port 0'),
  ];
  expect(quiet.code, quiet.stderr).toBe(0);
  expect(quiet.stderr).not.toContain('status page');
  expect(loud.code, loud.stderr).toBe(0);
  expect(loud.stderr).toContain('status page is served');
  expect(back.code, back.stdout).toBe(0);
  expect(back.stdout).toContain('status page is served');
});

test.each([
  ['run --page-port many', '--page-port is "many"; it must be a whole number from 0 to 65535.'],
  ['worker --page-port 70000', '--page-port is "70000"; it must be a whole number from 0 to 65535.'],
])('%s is a mistake', async (args, message) => {
  expect(await place.run(args)).toEqual({ code: 2, stdout: '', stderr: `udm-sync: ${message}\n` });
});

test('a token that is too short is refused, and not shown', async () => {
  const ended = await place.run('worker', { UDM_SYNC_PAGE__TOKEN: 'planted-short' });
  expect(ended.code).toBe(2);
  expect(ended.stderr).toContain('page.token');
  expect(ended.stderr).toContain('must be a secret of at least 16 characters');
  expect(ended.stderr).not.toContain('planted-short');
});
