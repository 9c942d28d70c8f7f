import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { Socket } from 'node:net';
import { sql } from 'drizzle-orm';
import { afterEach, expect, onTestFinished, test } from 'vitest';
import { openPipeline } from '../../src/jobs/pipeline.ts';
import { createPulse } from '../../src/metrics/pulse.ts';
import { createLogger } from '../../src/log.ts';
import { harnessForEachTest } from '../jobs/harness.ts';
import { serve, valueOf } from './serving.ts';

const { start } = harnessForEachTest();

/** A gate in front of Postgres that lets everything pass, or stands still: connections are taken and not answered. */
async function gateTo(url: string) {
  const target = new URL(url);
  const { hostname } = target;
  const port = Number(target.port || 5432);
  const sockets = new Set<Socket>();
  let open = true;
  const server = createServer((client) => {
    const upstream = connect(port, hostname);
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from);
      from.on('error', () => undefined);
      from.on('data', (bytes) => {
        if (open) to.write(bytes);
      });
      from.on('close', () => to.destroy());
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('a gate listens on a port');
  target.host = `127.0.0.1:${address.port}`;
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return {
    url: target.href,
    shut: () => (open = false),
    /** As a Postgres that is gone. */
    break() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

let close: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const step of close.reverse()) await step();
  close = [];
});

const json = ({ text }: { text: string }): unknown => JSON.parse(text);

test('healthz is 200 while the loop turns, and 503 once it has not for a minute', async () => {
  const harness = await start();
  const pipeline = await harness.pipeline();
  let age = 59_000;
  const pulse = { ...createPulse(), age: () => age };
  const probe = await serve(pipeline, harness.url, pulse);
  expect(await probe('/healthz')).toMatchObject({ status: 200, type: 'application/json' });
  age = 61_000;
  const late = await probe('/healthz');
  expect(late.status).toBe(503);
  expect(json(late)).toEqual({ ok: false, reasons: ['the loop last turned 61 s ago'] });
});

test('readyz is 200 with an upstream that is down, since waiting for it is all there is to do', async () => {
  const harness = await start();
  const pipeline = await harness.pipeline();
  const probe = await serve(pipeline, harness.url);
  await harness.simulator.close();
  const answer = await probe('/readyz');
  expect(answer).toMatchObject({ status: 200, text: '{"ok":true,"reasons":[]}\n' });
});

test('readyz names the sink that does not answer', async () => {
  const harness = await start({
    sink: {
      type: 's3',
      bucket: 'exports',
      endpoint: 'http://127.0.0.1:1',
      accessKeyId: 'id',
      secretAccessKey: 'planted-secret',
      forcePathStyle: true,
    },
  });
  const probe = await serve(await harness.pipeline(), harness.url);
  const answer = await probe('/readyz');
  expect(answer.status).toBe(503);
  expect(json(answer)).toEqual({
    ok: false,
    reasons: [expect.stringMatching(/^sink disk: HeadObject on s3:\/\/exports\/\S+ failed: ECONNREFUSED/)],
  });
  expect(answer.text).not.toContain('planted-secret');
});

test('readyz names a schema that is not of this version', async () => {
  const harness = await start();
  const pipeline = await harness.pipeline();
  await pipeline.db.execute(
    sql`delete from udm_sync_migrations.__drizzle_migrations where id = (select max(id) from udm_sync_migrations.__drizzle_migrations)`,
  );
  const probe = await serve(pipeline, harness.url);
  const answer = await probe('/readyz');
  expect(answer.status).toBe(503);
  expect(json(answer)).toEqual({
    ok: false,
    reasons: ['postgres: the database lacks 1 migrations of this version; run udm-sync migrate'],
  });
});

test('readyz is 503 once the worker is told to stop', async () => {
  const harness = await start();
  const draining = new AbortController();
  const pipeline = await openPipeline({
    config: harness.config,
    url: harness.url,
    logger: createLogger('silent'),
    draining: draining.signal,
    working: false,
  });
  close.push(() => pipeline.close());
  const probe = await serve(pipeline, harness.url);
  expect((await probe('/readyz')).status).toBe(200);
  draining.abort();
  expect(json(await probe('/readyz'))).toEqual({ ok: false, reasons: ['the worker is stopping'] });
});

test.each(['stands still', 'is gone'])(
  'with a Postgres that %s, all else is told, and what it would have said is counted as missing',
  async (how) => {
    const harness = await start();
    const gate = await gateTo(harness.url);
    const probe = await serve(await harness.pipeline(), gate.url);
    const definition = 'contacts';
    const before = await probe('/metrics');
    expect(valueOf(before.text, 'udm_sync_struggling_runs', { definition })).toBe(0);
    if (how === 'is gone') gate.break();
    else gate.shut();
    // What was asked for just now is still good for some seconds.
    await expect
      .poll(
        async () => {
          const { status, text } = await probe('/metrics');
          expect(status).toBe(200);
          expect(valueOf(text, 'udm_sync_memory_budget_bytes')).toBeGreaterThan(0);
          return {
            struggling: valueOf(text, 'udm_sync_struggling_runs', { definition }),
            missed: (valueOf(text, 'udm_sync_scrape_errors_total', { group: 'state' }) ?? 0) > 0,
          };
        },
        { timeout: 50_000, interval: 200 },
      )
      .toEqual({ struggling: undefined, missed: true });
    expect(await probe('/healthz')).toMatchObject({ status: 200 });
    const ready = await probe('/readyz');
    expect(ready.status).toBe(503);
    expect(ready.text).toMatch(/"postgres: /);
    const url = new URL(harness.url);
    if (url.password !== '') expect(ready.text).not.toContain(url.password);
  },
);

test('only what is there is served, and only to GET and HEAD', async () => {
  const harness = await start();
  const probe = await serve(await harness.pipeline(), harness.url);
  expect(await probe('/')).toMatchObject({
    status: 404,
    text: '{"error":"there is /metrics, /healthz, /readyz"}\n',
  });
  expect(await probe('/constructor')).toMatchObject({ status: 404 });
  expect(await probe('/healthz', 'POST')).toMatchObject({ status: 405 });
  expect(await probe('/healthz', 'HEAD')).toMatchObject({ status: 200, text: '' });
  expect(await probe('/healthz?verbose')).toMatchObject({ status: 200 });
});
