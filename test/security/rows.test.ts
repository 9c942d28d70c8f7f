import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { sql } from 'drizzle-orm';
import { describe, expect, onTestFinished, test } from 'vitest';
import { HttpGet } from '../../src/udm/http-get.ts';
import { harnessForEachTest } from '../jobs/harness.ts';
import { serve } from '../udm/support.ts';

const { begin, start } = harnessForEachTest();

/** Names with a meaning to something that they pass on their way. */
const names = [
  `'; drop table udm_sync.files; --.zip`,
  `$1 \${PATH} {definition} {from:yyyy} {run}.zip`,
  '{file}',
  '%2e%2e%2f%2e%2e%2fetc%2fpasswd',
  '..\\..\\windows\\system32.zip',
  '/etc/passwd',
  'C:\\autoexec.bat',
  'CON',
  'nul.zip',
  'aux.',
  'trailing dot.',
  'alternate:stream.zip',
  'new\nline\r\nx-amz-acl: public-read\r\n.zip',
  'delete\u007f and c1\u009b31m.zip',
  '\u202egpj.exe',
  'zero\u200bwidth\ufeff.zip',
  '<script>alert(1)</script>.zip',
  '-rf',
  '~root',
  '$(reboot)`reboot`.zip',
  `${'x'.repeat(1000)}.zip`,
];

describe('file names', () => {
  test('of any malice arrive as they are called, inside of the sink, in a table that is still there', async () => {
    const { harness, pipeline } = await begin({
      simulator: { filesFor: () => names.map((name, at) => ({ name, size: 100 + at })) },
    });
    const run = await harness.planHour(pipeline);
    await harness.until(pipeline, run.id, 'done');
    const { files } = await harness.story(pipeline, run.id);
    expect(files.map((file) => file.name).sort()).toEqual([...names].sort());
    expect(files.every((file) => file.state === 'deleted')).toBe(true);
    const folder = 'demo/contacts/dt=2026-01-01/20260101T000000Z_20260101T010000Z';
    const there = (await readdir(harness.folder, { recursive: true, withFileTypes: true }))
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(harness.folder.length + 1));
    expect(there.sort()).toEqual([`${folder}/_manifest.json`, ...files.map((file) => file.key)].sort());
    for (const file of files) {
      expect(file.key.startsWith(`${folder}/`)).toBe(true);
      // One segment, whatever the name, and nothing in it that a shell or terminal obeys as a control character.
      expect(file.key.slice(folder.length + 1)).not.toMatch(/[/\\\p{Cc}]/u);
      expect((await readFile(join(harness.folder, file.key))).length).toBe(file.size);
    }
  });
});

describe('hostile rows of Postgres', () => {
  const hold = { endpoint: /GET \/v10\/files/, kind: 'status', status: 503 } as const;

  test('a key that leads out of the sink is not followed', async () => {
    const { harness, simulator, worker } = await begin({
      simulator: { filesFor: () => [{ name: 'a.zip', size: 100 }] },
    });
    const pipeline = await harness.pipeline();
    const fault = simulator.faults.add(hold);
    const run = await harness.planHour(pipeline);
    await harness.until(pipeline, run.id, 'transferring');
    await worker.stop();
    await pipeline.db.execute(sql`update udm_sync.files set key = '../../../../tmp/udm-sync-escaped'`);
    fault.remove();
    await harness.worker();
    const failed = await harness.until(pipeline, run.id, 'failed');
    expect(failed.reason).toMatch(/holds a ".." segment/);
    await expect(readFile('/tmp/udm-sync-escaped')).rejects.toThrow('ENOENT');
    expect(harness.requests(/^DELETE/)).toEqual([]);
  });

  test('an upload nobody can read fails its file, and no other', async () => {
    const { harness, simulator, worker } = await begin({
      simulator: { filesFor: () => ['a.zip', 'b.zip'].map((name) => ({ name, size: 100 })) },
    });
    const pipeline = await harness.pipeline();
    const fault = simulator.faults.add(hold);
    const run = await harness.planHour(pipeline);
    await harness.until(pipeline, run.id, 'transferring');
    await worker.stop();
    await pipeline.db.execute(sql`
      insert into udm_sync.uploads (file_id, sink, upload, part_size, length, source_etag)
      select id, 'disk', '{"__proto__": {"key": "x"}, "key": ["x"]}', 1, 1, '"x"' from udm_sync.files where name = 'a.zip'`);
    fault.remove();
    await harness.worker();
    await harness.until(pipeline, run.id, 'done', 'failed');
    const { files } = await harness.story(pipeline, run.id);
    expect(files.find((file) => file.name === 'b.zip')?.state).toMatch(/verified|deleted/);
    expect({}).not.toHaveProperty('key');
  });

  test('queue jobs with another payload stop no worker', async () => {
    const { harness, pipeline } = await begin();
    const send = (name: string, data: string) =>
      pipeline.db.execute(
        sql`insert into udm_sync_queue.job (name, data, policy, singleton_key)
          values (${name}, ${data}::jsonb, 'exclusive', gen_random_uuid()::text)`,
      );
    for (const name of ['step', 'transfer']) {
      for (const data of ['{"__proto__":{"runId":1}}', '[]', 'null', '{"runId":-1,"fileIds":["x"]}'])
        await send(name, data);
      // What is no number is refused by an index already.
      await expect(send(name, '{"runId":"1; drop table runs"}')).rejects.toThrow();
    }
    const run = await harness.planHour(pipeline);
    await harness.until(pipeline, run.id, 'done');
  });

  test('an ETag smuggles no header into a request', async () => {
    const server = await serve((_request, response) => response.end('x'));
    const http = new HttpGet({
      idleTimeoutMs: 5000,
      lookup: () => (_host, _options, callback) => callback(null, '127.0.0.1', 4),
    });
    onTestFinished(() => http.close());
    const url = new URL(`${server.url}/a`);
    for (const value of ['"x"\r\nX-Smuggled: 1', '"x"\nX-Smuggled: 1', '"x"\0', '"\u2028"'])
      await expect(http.get(url, { 'if-match': value })).rejects.toThrow(/control character/);
    expect(server.calls).toEqual([]);
  });

  test('no number of theirs is taken for a run', async () => {
    const harness = await start();
    const pipeline = await harness.pipeline();
    const run = await harness.planHour(pipeline);
    for (const change of [
      sql`update udm_sync.runs set state = 'nonsense'`,
      sql`update udm_sync.runs set window_to = window_from`,
      sql`update udm_sync.runs set state = null`,
    ])
      await expect(pipeline.db.execute(change)).rejects.toThrow();
    expect((await harness.until(pipeline, run.id, 'planned')).state).toBe('planned');
  });
});
