import { spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { Receiver } from '../notify/receiver.ts';
import { startS3Server } from '../support/s3.ts';
import type { S3Server } from '../support/s3.ts';
import { environment, follow, forbid, leaks } from './processes.ts';
import { definition, makePlace, s3Sink } from './place.ts';
import type { Place } from './place.ts';

/** What the program tells the outside besides its output: traces, webhooks, and lines of log that nobody may lose. */

const hook = '/services/planted-webhook-secret-71ac';
let place: Place;
let s3: S3Server;
let receiver: Receiver;
beforeAll(async () => {
  [place, s3, receiver] = await Promise.all([
    makePlace({
      filesFor: () => [
        { name: 'one.zip', size: 900 },
        { name: 'two.zip', size: 700 },
      ],
    }),
    startS3Server(),
    Receiver.start(),
  ]);
  forbid('planted-webhook-secret-71ac');
});
afterAll(async () => {
  await receiver[Symbol.asyncDispose]();
  await s3.stop();
  await place[Symbol.asyncDispose]();
});

/** Prints the name of everything of OpenTelemetry that the process loads. */
const watcher = `data:text/javascript,${encodeURIComponent(
  `import { registerHooks } from 'node:module';
   registerHooks({ resolve(name, context, next) {
     if (name.startsWith('@opentelemetry/')) process.stderr.write('loaded ' + name + '\\n');
     return next(name, context);
   } });`,
)}`;

/** A process under OpenTelemetry's eyes: what of it was loaded. */
const loaded = (stderr: string) => [
  ...new Set([...stderr.matchAll(/^loaded (\S+)$/gm)].map(([, name]) => name)),
];

const otlp = z.object({
  resourceSpans: z.array(
    z.object({
      resource: z.object({ attributes: z.array(z.object({ key: z.string(), value: z.unknown() })) }),
      scopeSpans: z.array(
        z.object({
          spans: z.array(
            z.object({
              traceId: z.string(),
              spanId: z.string(),
              parentSpanId: z.string().optional(),
              name: z.string(),
              attributes: z.array(
                z.object({
                  key: z.string(),
                  value: z.object({
                    stringValue: z.string().optional(),
                    intValue: z.union([z.number(), z.string()]).optional(),
                  }),
                }),
              ),
            }),
          ),
        }),
      ),
    }),
  ),
});

describe('traces', () => {
  test('a run is one trace: its steps, its files, and the calls below them', async () => {
    const bucket = await s3.createBucket();
    await place.configure({
      sinks: { lake: s3Sink(s3, bucket) },
      definitions: { traced: definition({ sink: 'lake', schedule: { cron: '5 * * * *' } }) },
    });
    const ended = await place.run('run traced', {
      OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url(''),
      NODE_OPTIONS: `--import ${watcher}`,
    });
    expect(ended).toMatchObject({ code: 0 });
    expect(loaded(ended.stderr)).toContain('@opentelemetry/exporter-trace-otlp-http');
    const posts = receiver.requests.splice(0);
    expect(new Set(posts.map(({ path }) => path))).toEqual(new Set(['/v1/traces']));
    const resources = posts.flatMap(({ body }) => otlp.parse(JSON.parse(body)).resourceSpans);
    expect(JSON.stringify(resources[0]?.resource)).toContain('"udm-sync"');
    const spans = resources.flatMap(({ scopeSpans }) => scopeSpans.flatMap((scope) => scope.spans));
    const [run] = await place.sql<{ id: string }>(`select id from udm_sync.runs where definition = 'traced'`);
    const about = (span: (typeof spans)[number]) =>
      Object.fromEntries(
        span.attributes.map(({ key, value }) => [key, value.stringValue ?? Number(value.intValue)]),
      );
    const tops = spans.filter((span) => span.parentSpanId === undefined && 'udm_sync.run' in about(span));
    expect(new Set(tops.map((span) => span.traceId)).size).toBe(1);
    expect(new Set(tops.map((span) => span.name))).toEqual(
      new Set([
        'step planned',
        'step creating',
        'step exporting',
        'step collecting',
        'transfer',
        'step transferring',
        'step stored',
      ]),
    );
    for (const span of tops)
      expect(about(span)).toMatchObject({
        'udm_sync.run': Number(run?.id),
        'udm_sync.definition': 'traced',
        'udm_sync.tenant': 'acme',
        'udm_sync.attempt': expect.any(Number),
      });
    const children = (name: string) => {
      const ids = spans.filter((span) => span.name === name).map((span) => span.spanId);
      return spans.filter((span) => span.parentSpanId !== undefined && ids.includes(span.parentSpanId));
    };
    const files = children('transfer').filter((span) => span.name === 'file');
    expect(files.map((span) => about(span)['udm_sync.file']).sort()).toEqual(['one.zip', 'two.zip']);
    const puts = children('file').filter((span) => span.name === 'S3 PutObject');
    expect(puts.map((span) => about(span)['http.response.status_code'])).toEqual([200, 200]);
    const creates = children('step creating').filter((span) => about(span)['http.request.method'] === 'POST');
    expect(creates.map((span) => about(span)['http.route'])).toEqual(['/v10/export/jobs']);
    const said = JSON.stringify(posts.map(({ body }) => body));
    expect(leaks(said)).toEqual([]);
    expect(said).not.toMatch(/https?:|x-amz|bearer/i);
  });

  test('off, nothing but the API is loaded, and nobody is asked', async () => {
    await place.configure({ definitions: { quiet: definition({ schedule: { cron: '5 * * * *' } }) } });
    const ended = await place.run('run quiet', { NODE_OPTIONS: `--import ${watcher}` });
    expect(ended).toMatchObject({ code: 0 });
    expect(loaded(ended.stderr)).toEqual(['@opentelemetry/api']);
  });

  test('a receiver that is not there is no reason to fail', async () => {
    await place.configure({ definitions: { alone: definition({ schedule: { cron: '5 * * * *' } }) } });
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9' };
    expect(await place.run('run alone', env)).toMatchObject({ code: 0 });
  });

  test.each([
    ['OTEL_TRACES_EXPORTER', 'zipkin'],
    ['OTEL_EXPORTER_OTLP_PROTOCOL', 'grpc'],
  ])('%s: %s is refused', async (name, value) => {
    const ended = await place.run('run', { OTEL_TRACES_EXPORTER: 'otlp', [name]: value });
    expect(ended).toMatchObject({ code: 2 });
    expect(ended.stderr).toContain(`${name} is "${value}"; udm-sync knows`);
  });
});

describe('webhooks', () => {
  test('run tells what waits before it ends', async () => {
    receiver.requests.length = 0;
    await place.configure({
      definitions: {
        broken: definition({
          schedule: { cron: '5 * * * *' },
          retry: { attempts: 1, minDelay: '0s', maxDelay: '0s' },
        }),
      },
      notifications: { ops: { url: receiver.url(hook), groupFor: '1h', on: ['run-failed'] } },
    });
    const fault = place.simulator.faults.add({
      endpoint: 'POST /v10/export/jobs',
      kind: 'status',
      status: 400,
    });
    const ended = await place.run('run broken');
    place.simulator.faults.remove(fault.id);
    expect(ended.stderr + ended.stdout).toContain('failed');
    expect(receiver.bodies()).toMatchObject([{ events: [{ kind: 'run-failed', definition: 'broken' }] }]);
  });

  test('notify-test says what came back', async () => {
    await place.configure({
      notifications: { ops: { url: receiver.url(hook) }, chat: { url: receiver.url(hook), format: 'slack' } },
    });
    receiver.requests.length = 0;
    receiver.next.push(200, 410);
    const all = await place.run('notify-test');
    expect(all).toMatchObject({
      code: 1,
      stdout: 'ops: arrived, HTTP 200\nchat: did NOT arrive, HTTP 410\n',
    });
    expect(receiver.bodies()).toMatchObject([{ test: true, webhook: 'ops' }, { blocks: [{}, {}] }]);
    const one = await place.run('notify-test ops --json');
    expect(one.code).toBe(0);
    expect(JSON.parse(one.stdout)).toEqual([{ webhook: 'ops', ok: true, status: 200, said: 'HTTP 200' }]);
    const wrong = await place.run('notify-test opss');
    expect(wrong).toMatchObject({ code: 2 });
    expect(wrong.stderr).toContain('There is no webhook "opss"; did you mean "ops"?');
    expect((await place.run('config print')).stdout).toContain('"***"');
  });
});

const move = z.object({
  file: z.string().optional(),
  from: z.string().optional(),
  to: z.string().optional(),
});

describe('the log', () => {
  test('has a line for each move of a run and of a file', async () => {
    await place.configure({ definitions: { logged: definition({ schedule: { cron: '5 * * * *' } }) } });
    const { stderr } = await place.run('run logged --json');
    const lines = stderr
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => z.record(z.string(), z.unknown()).parse(JSON.parse(line)));
    const [run] = await place.sql<{ id: string }>(`select id from udm_sync.runs where definition = 'logged'`);
    for (const line of lines) {
      expect(line['time']).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
      expect(line['level']).toMatch(/^(info|warn|error)$/);
    }
    const told = lines
      .filter(({ msg }) => ['run planned', 'run moved', 'run failed', 'file moved'].includes(String(msg)))
      .map((line) => {
        expect(line).toMatchObject({ run: Number(run?.id), definition: 'logged', tenant: 'acme' });
        expect(line['attempt']).toEqual(expect.any(Number));
        const { file = 'run', from = '', to = 'planned' } = move.parse(line);
        return `${file}: ${from} > ${to}`;
      });
    const history = await place.sql<{ line: string }>(
      `select coalesce(f.name, 'run') || ': ' || coalesce(h.from_state, '') || ' > ' || h.to_state as line
       from udm_sync.history h left join udm_sync.files f on f.id = h.file_id
       where h.run_id = ${run?.id ?? '0'} and h.subject <> 'export'`,
    );
    expect(told.sort()).toEqual(history.map(({ line }) => line).sort());
    expect(told).toContain('one.zip: verified > deleted');
  });

  test.each([
    ['exits at once', 'process.exit(3);', 3],
    ['crashes', "throw new Error('nobody expected this');", 1],
  ])('is whole when the process %s', async (_, end, code) => {
    const file = join(place.folder, 'last-words.ts');
    const log = new URL('../../src/log.ts', import.meta.url).href;
    await writeFile(
      file,
      `import { createLogger } from '${log}';
       const logger = createLogger('info', 'json');
       for (let n = 1; n <= 2000; n += 1) logger.info({ n, err: new Error('for ' + n) }, 'x'.repeat(500));
       ${end}`,
    );
    const child = spawn(process.execPath, [file], {
      env: environment({}),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const ended = await follow(child, 'last words').ended;
    expect(ended.code).toBe(code);
    const lines = ended.stdout.trim().split('\n');
    expect(lines).toHaveLength(2000);
    expect(JSON.parse(lines.at(-1) ?? '')).toMatchObject({
      n: 2000,
      err: { type: 'Error', message: 'for 2000' },
    });
  });
});
