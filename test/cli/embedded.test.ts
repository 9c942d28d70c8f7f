import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { startSimulator } from '../../simulator/server.ts';
import type { Simulator } from '../../simulator/server.ts';
import { read, work } from './contract.ts';
import { start } from './processes.ts';
import { definition, tenant, usualConfig } from './place.ts';

/** Without a DATABASE_URL: the PostgreSQL that npm installed. */

let folder: string;
let simulator: Simulator;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'udm-sync-cli-'));
  // Run as root, the server belongs to another user, who has to pass.
  await chmod(folder, 0o711);
  simulator = await startSimulator({ tenants: [tenant], exportDuration: 0, fileSize: [100, 200] });
  const config = {
    ...usualConfig(simulator.baseUrl, ''),
    database: { dataDir: './postgres' },
    definitions: { contacts: definition() },
  };
  await writeFile(join(folder, 'udm-sync.yaml'), stringify(config));
});
afterAll(async () => {
  await simulator.close();
  await rm(folder, { recursive: true, force: true });
});

const begin = (args: string) => start(args.split(' '), { cwd: folder });

/** The process id of the server, if its data directory says that one runs. */
async function postmaster(): Promise<number | undefined> {
  const text = await readFile(join(folder, 'postgres/cluster/data/postmaster.pid'), 'utf8').catch(() => '');
  return text === '' ? undefined : Number(text.split('\n')[0]);
}

test('commands that begin at once in an empty folder share a server, and the last one stops it', async () => {
  const [status, runs, migrated] = await Promise.all(
    ['status', 'runs', 'migrate'].map((args) => begin(args).ended),
  );
  expect(status).toMatchObject({ code: 0, stderr: '' });
  expect(status?.stdout).toMatch(/^Nothing has been exported yet, and nothing is due\.\n/);
  expect(runs).toEqual({ code: 0, stdout: 'No runs.\n', stderr: '' });
  expect(migrated).toMatchObject({ code: 0, stderr: '' });
  expect(await postmaster()).toBeUndefined();
});

test('who started the server may leave first', async () => {
  const fault = simulator.faults.add({ endpoint: 'POST /v10/export/jobs', kind: 'delay', ms: 3000 });
  const run = begin('run --json');
  await expect.poll(postmaster, { timeout: 30_000 }).toBeDefined();
  await expect.poll(() => fault.matched, { timeout: 30_000 }).toBe(1);
  const worker = begin('worker --health-file alive');
  await expect.poll(() => worker.said(), { timeout: 30_000 }).toContain('worker is running');
  const ended = await run.ended;
  expect(ended.code, ended.stderr).toBe(0);
  expect(read(work, ended.stdout)).toMatchObject({ done: 1 });
  const server = await postmaster();
  expect(server).toBeDefined();
  const told = await begin('status').ended;
  expect(told.stdout).toMatch(/^Safe: every window that is due is verified in the sink\.\n/);
  expect(await postmaster()).toBe(server);
  worker.child.kill('SIGTERM');
  expect((await worker.ended).code).toBe(0);
  expect(await postmaster()).toBeUndefined();
});

test('a server left by a command that was killed is used and stopped by the next one', async () => {
  const worker = begin('worker --health-file alive');
  await expect.poll(() => worker.said(), { timeout: 30_000 }).toContain('worker is running');
  const server = await postmaster();
  worker.child.kill('SIGKILL');
  await worker.ended;
  expect(await postmaster()).toBe(server);
  expect((await begin('runs').ended).stdout).toMatch(/contacts .* done /);
  expect(await postmaster()).toBeUndefined();
});
