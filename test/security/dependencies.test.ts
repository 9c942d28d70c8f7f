import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { RequestListener } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { z } from 'zod';

const root = join(import.meta.dirname, '../..');

/** Runs scripts/audit.ts for a project with one dependency, against a registry of our own. */
async function audit(answer: RequestListener) {
  const folder = await mkdtemp(join(tmpdir(), 'udm-sync-audit-'));
  const server = createServer(answer);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(async () => {
    server.close();
    server.closeAllConnections();
    await rm(folder, { recursive: true });
  });
  const address = server.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  const dependencies = { leaky: '1.0.0' };
  const project = { name: 'project', version: '1.0.0', dependencies };
  await writeFile(join(folder, 'package.json'), JSON.stringify(project));
  await writeFile(
    join(folder, 'package-lock.json'),
    JSON.stringify({
      ...project,
      lockfileVersion: 3,
      packages: { '': project, 'node_modules/leaky': { version: '1.0.0' } },
    }),
  );
  const child = spawn(process.execPath, [join(root, 'scripts/audit.ts')], {
    cwd: folder,
    env: {
      PATH: process.env['PATH'],
      HOME: folder,
      npm_config_registry: `http://127.0.0.1:${port}/`,
      npm_config_fetch_retries: '0',
      npm_config_update_notifier: 'false',
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (said += text));
  await once(child, 'close');
  return { code: child.exitCode, said };
}

/** A registry that has one advisory about the dependency. */
const advisory =
  (severity: string): RequestListener =>
  (request, response) => {
    request.resume();
    const found = {
      leaky: [
        {
          id: 1,
          url: 'https://advisories.test/1',
          title: 'Leaks',
          severity,
          vulnerable_versions: '<2',
          cwe: [],
          cvss: {},
        },
      ],
    };
    const version = { name: 'leaky', version: '1.0.0', dist: {} };
    const packument = { name: 'leaky', 'dist-tags': { latest: '1.0.0' }, versions: { '1.0.0': version } };
    const body = request.url === '/-/npm/v1/security/advisories/bulk' ? found : packument;
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  };

test.each(['high', 'critical'])('an advisory that is %s fails the build and is named', async (severity) => {
  const { code, said } = await audit(advisory(severity));
  expect(said).toMatch(new RegExp(`leaky is ${severity}\\n +Leaks https://advisories.test/1`));
  expect(code).toBe(1);
});

test.each(['low', 'moderate'])('one that is %s does not', async (severity) => {
  const { code, said } = await audit(advisory(severity));
  expect(said).toContain('no high or critical advisories in production dependencies (1 lesser ones)');
  expect(code).toBe(0);
});

test.each([
  ['refuses audits', 405, ''],
  ['has never heard of them', 404, '{"error":"not found"}'],
  ['answers nonsense', 200, '<html>'],
])('a registry that %s is said to, and does not fail the build', async (_what, status, body) => {
  const { code, said } = await audit((request, response) => {
    request.resume();
    response.writeHead(status).end(body);
  });
  expect(said).toMatch(/^audit: the registry answers no audits/);
  expect(code).toBe(0);
});

const lockfile = z.object({
  packages: z.record(
    z.string(),
    z.looseObject({
      link: z.boolean().optional(),
      resolved: z.string().optional(),
      integrity: z.string().optional(),
      hasInstallScript: z.boolean().optional(),
      inBundle: z.boolean().optional(),
    }),
  ),
});

test('every locked package has the digest of its content, and none comes from elsewhere than a registry', async () => {
  const { packages } = lockfile.parse(JSON.parse(await readFile(join(root, 'package-lock.json'), 'utf8')));
  const installed = Object.entries(packages).filter(
    ([path, { inBundle }]) => path !== '' && inBundle !== true,
  );
  expect(installed.length).toBeGreaterThan(100);
  for (const [path, { integrity, link, resolved = '' }] of installed) {
    expect(integrity, path).toMatch(/^sha512-/);
    expect(link, path).toBeUndefined();
    expect(resolved, path).not.toMatch(/^(git|http:|file:)/);
  }
});

test('only packages on the list may run install scripts', async () => {
  const { packages } = lockfile.parse(JSON.parse(await readFile(join(root, 'package-lock.json'), 'utf8')));
  const manifest: unknown = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
  const { allowScripts } = z.object({ allowScripts: z.record(z.string(), z.boolean()) }).parse(manifest);
  const scripted = Object.entries(packages)
    .filter(([, { hasInstallScript }]) => hasInstallScript === true)
    .map(([path]) => path.replace(/^.*node_modules\//, ''));
  for (const name of new Set(scripted)) expect(Object.keys(allowScripts), name).toContain(name);
  // The image installs with none at all.
  const dockerfile = await readFile(join(root, 'Dockerfile'), 'utf8');
  const installs = dockerfile.match(/^.*npm ci .*$/gm) ?? [];
  expect(installs.length).toBeGreaterThan(0);
  for (const line of installs) expect(line).toContain('--ignore-scripts');
});
