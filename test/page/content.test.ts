import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { servePage } from '../../src/page/server.ts';
import { findRun } from '../../src/store/runs.ts';
import { definition, makePlace } from './place.ts';
import type { Place } from './place.ts';
import { hoursAgo, storyDefinitions, tellStory } from './story.ts';

/** The text of a page, as a person reads it. */
function textOf(body: string): string {
  return body
    .replaceAll(/<[^>]*>/g, ' ')
    .replaceAll('&quot;', '"')
    .replaceAll(/\s+/g, ' ');
}

/** What a part of a page says. */
function partOf(body: string, id: string): string {
  return textOf(body.split(`id="${id}"`)[1]?.split('</section>')[0] ?? '');
}

describe('an empty database', () => {
  let place: Place;
  beforeAll(async () => {
    place = await makePlace();
  });
  afterAll(() => place[Symbol.asyncDispose]());

  test('every page says that there is nothing yet', async () => {
    const overview = await place.ask('/');
    expect(overview.status).toBe(200);
    expect(partOf(overview.body, 'verdict')).toContain('Nothing has been exported yet, and nothing is due.');
    expect(partOf(overview.body, 'definitions')).toContain('contacts-hourly acme → lake');
    expect(partOf(overview.body, 'exports')).toContain('0 jobs alive upstream None.');
    expect(partOf(overview.body, 'expiry')).toContain('No file waits.');
    expect((await place.ask('/runs')).body).toContain('No run.');
    expect((await place.ask('/definitions/contacts-hourly')).status).toBe(200);
    expect((await place.ask('/search?q=x')).body).toContain('Nothing was found');
    expect((await place.ask('/search')).status).toBe(200);
  });

  test.each([
    ['/runs/1', 404, 'There is no run 1.'],
    ['/definitions/nobody', 404, 'There is no definition “nobody”'],
    ['/definitions/%ff', 404, 'There is no such page.'],
    ['/nowhere', 404, 'There is no such page.'],
    ['/?month=2026-13', 400, 'month must be a month such as 2026-11.'],
    ['/definitions/contacts-hourly?month=x', 400, 'month must be a month such as 2026-11.'],
    ['/runs?state=gone', 400, 'state must be unfinished or one of planned'],
    ['/runs?from=yesterday', 400, 'from:'],
    ['/runs?after=1', 400, 'after: must be what a page of runs links to.'],
    ['/static/page.0000.css', 404, 'There is no such file.'],
    ['/static/../server.ts', 404, 'There is no such page.'],
  ])('%s answers %i: %s', async (path, status, text) => {
    const answer = await place.ask(path);
    expect(answer.status).toBe(status);
    expect(textOf(answer.body)).toContain(text);
  });

  test('HEAD answers like GET, without a body', async () => {
    const answer = await place.ask('/', { method: 'HEAD' });
    expect(answer).toMatchObject({ status: 200, body: '' });
    expect(Number(answer.headers['content-length'])).toBeGreaterThan(1000);
  });
});

describe('a month of work', () => {
  let place: Place;
  beforeAll(async () => {
    place = await makePlace({ definitions: storyDefinitions() });
    await tellStory(place);
  });
  afterAll(() => place[Symbol.asyncDispose]());

  test('the overview answers whether the data is safe, and shows gap, failure and what waits', async () => {
    const { body } = await place.ask('/');
    expect(partOf(body, 'verdict')).toContain('AT RISK: the vendor deletes 2 files soon');
    expect(partOf(body, 'attention')).toMatch(
      /recordings-daily #\d+ .* failed .*Data source is not available/,
    );
    expect(partOf(body, 'attention')).toContain('The bucket "acme-exports" denies s3:PutObject.');
    const definitions = partOf(body, 'definitions');
    expect(definitions).toMatch(/interactions-hourly .* 2 under way 19 missing/);
    expect(definitions).toMatch(/recordings-daily .* 1 failed/);
    // The gap lies in the strip where it was: from 16:00 of one day to 11:00 of the next.
    expect(body).toMatch(/: 16 done, 8 missing<\/title/);
    expect(body).toMatch(/: 13 done, 11 missing<\/title/);
    expect(body).toMatch(/rect[^>]*class="missing"/);
    expect(partOf(body, 'expiry')).toMatch(/contacts_part-0000\.csv\.gz dead 12\.0 MiB in 2d 9h/);
  });

  test('exports have progress; transfers have progress, rate, what is left, and their worker', async () => {
    const { body } = await place.ask('/');
    expect(partOf(body, 'exports')).toMatch(
      /contacts-hourly #\d+ .* exporting 62 % 62 % · “RUNNING” · begun 2m/,
    );
    expect(partOf(body, 'exports')).toContain('progress not told · “QUEUED”');
    const transfers = partOf(body, 'transfers');
    expect(transfers).toMatch(/Transfers 2 under way · 17 waiting \(1\.5 GiB\) · \d\.\d MiB\/s · about/);
    expect(transfers).toMatch(
      /interactions_voice_part-0001\.csv\.gz 41 % 41 % · 376\.0 MiB of 900\.0 MiB · \d\.\d MiB\/s · \d+m?.* left · begun .* ago .* by worker-6f7d9c\/7\/4be1c0/,
    );
    expect(transfers).toMatch(
      /interactions_email_part-0001\.csv\.gz 3\.0 MiB, progress known to its worker alone · begun .* by worker-b81f22\/7\/09aa17/,
    );
  });

  test("this process's own transfers are shown to the byte, without Postgres", async () => {
    const [file] = await place.rows.sql<{ id: string; run_id: string }>(
      `select id, run_id from udm_sync.files where name = 'interactions_email_part-0001.csv.gz'`,
    );
    const row = await findRun(place.pipeline.db, Number(file?.run_id));
    if (!row || !file) throw new Error('the story has this file');
    place.pipeline.events.emit('event', {
      kind: 'bytes',
      run: row,
      fileId: Number(file.id),
      name: 'interactions_email_part-0001.csv.gz',
      bytes: 2 * 2 ** 20,
      total: 3 * 2 ** 20,
    });
    await expect
      .poll(async () => partOf((await place.ask('/')).body, 'transfers'))
      .toContain('interactions_email_part-0001.csv.gz 66 % 66 % · 2.0 MiB of 3.0 MiB');
  });

  test('throughput and errors are plotted for a day and a month, and are there as a table', async () => {
    const { body } = await place.ask('/');
    const activity = partOf(body, 'activity');
    const [day] = await place.rows.sql<{ n: string; errors: string }>(
      `select (select count(*) from udm_sync.files where verified_at >= date_trunc('hour', now(), 'UTC') - interval '23 hours') as n`,
    );
    expect(activity).toMatch(new RegExp(`Last 24 hours [\\d.]+ GiB in ${day?.n ?? ''} files .* 3 errors`));
    expect(activity).toMatch(/Last 30 days .* 8 errors/);
    expect(body.match(/role="img"\s+aria-label="Last 24 hours: /g)).toHaveLength(2);
    expect(partOf(body, 'activity-month').match(/\d{4}-\d\d-\d\d/g)).toHaveLength(30);
  });

  test('strips page back by month', async () => {
    const earlier = /href="(\/\?month=\d{4}-\d\d)"\s+rel="prev"/.exec((await place.ask('/')).body)?.[1] ?? '';
    const page = await place.ask(earlier);
    expect(page.status).toBe(200);
    expect(page.body).toMatch(/rel="next"/);
  });

  test("a definition's page lists what of a month is not done, neighbours as one", async () => {
    const month = hoursAgo(24 * 9 + 8)
      .toISOString()
      .slice(0, 7);
    const { body } = await place.ask(`/definitions/interactions-hourly?month=${month}`);
    expect(partOf(body, 'open')).toMatch(/\d+ windows missing: due, but no run has them/);
    expect(body).toMatch(/class="cell missing" role="img"|class="cell missing"/);
    const daily = await place.ask('/definitions/recordings-daily');
    expect(partOf(daily.body, 'calendar')).toContain('Mon Tue Wed Thu Fri Sat Sun');
  });

  test("a run's page has everything that happened to it, and says how it can be brought on", async () => {
    const [run] = await place.rows.sql<{ id: string }>(
      `select id from udm_sync.runs where definition = 'interactions-hourly' and state = 'transferring'`,
    );
    const { body } = await place.ask(`/runs/${run?.id ?? ''}`);
    expect(partOf(body, 'run')).toMatch(/interactions-hourly .* Tenant acme Sink lake/);
    expect(partOf(body, 'jobs')).toMatch(/1 completed COMPLETED, 100 % job-\d+ history-\d+/);
    expect(partOf(body, 'files')).toMatch(/2 transferring \(903\.0 MiB\) · 12 waiting \(1\.4 GiB\)/);
    expect(partOf(body, 'history')).toMatch(
      /interactions_voice_part-0001\.csv\.gz waiting transferring worker-6f7d9c\/7\/4be1c0/,
    );
    // Nobody may act here.
    expect(body).not.toContain('method="post"');
    expect(textOf(body)).toContain('Read-only');
  });

  test('runs are listed in pages that leave out none, and can be narrowed down', async () => {
    const seen: string[] = [];
    let path: string | undefined = '/runs?definition=contacts-hourly';
    for (let pages = 0; path !== undefined; pages += 1) {
      expect(pages).toBeLessThan(20);
      const { body } = await place.ask(path);
      seen.push(...[...partRaw(body, 'runs').matchAll(/href="\/runs\/(\d+)"/g)].map(([, id = '']) => id));
      path = /href="([^"]*)"\s+rel="next"/.exec(body)?.[1]?.replaceAll('&amp;', '&');
    }
    const all = await place.rows.sql<{ id: string }>(
      `select id from udm_sync.runs where definition = 'contacts-hourly' order by window_from desc, id desc`,
    );
    expect(seen).toEqual(all.map(({ id }) => id));
    const failed = partOf((await place.ask('/runs?state=failed')).body, 'runs');
    expect(failed.match(/recordings-daily/g)).toHaveLength(1);
    const unfinished = partOf((await place.ask('/runs?state=unfinished')).body, 'runs');
    expect(unfinished.match(/exporting|transferring/g)).toHaveLength(4);
  });

  test.each([
    ['interactions_voice_part-0005', /Files 1 .*interactions_voice_part-0005\.csv\.gz waiting 120\.0 MiB/],
    ['voice_part-0005', /Files 1 with it somewhere in name or key .*interactions_voice_part-0005/],
    ['INTERACTIONS_VOICE_PART-0005', /with it somewhere in name or key/],
    ['job-12', /Jobs \d+ .*job-12\d/],
    ['daily', /Definitions recordings-daily/],
    ['1', /Run 1 /],
    ['%', /Nothing was found for % ?\./],
    ['_nteractions', /Nothing was found for _nteractions ?\./],
  ])('a search for %s finds %s', async (text, found) => {
    const { body, status } = await place.ask(`/search?q=${encodeURIComponent(text)}`);
    expect(status).toBe(200);
    expect(textOf(body.split('<main')[1] ?? '')).toMatch(found);
  });
});

function partRaw(body: string, id: string): string {
  return body.split(`id="${id}"`)[1]?.split('</section>')[0] ?? '';
}

test('hostile names are text wherever they are shown', async () => {
  await using place = await makePlace({
    definitions: { 'contacts-hourly': definition({ windows: { start: hoursAgo(5).toISOString() } }) },
  });
  const { rows } = place;
  const hostile = `"><img src=x onerror=alert(1)>'{{7*7}}</script><script>alert(2)</script>\u202e`;
  const definitionName = `${hostile} /../?#%2e`;
  const failed = await rows.run({
    definition: definitionName,
    from: hoursAgo(3),
    state: 'failed',
    reason: hostile,
  });
  const moving = await rows.run({
    definition: definitionName,
    from: hoursAgo(2),
    state: 'transferring',
    reason: hostile,
  });
  await rows.sql(
    `update udm_sync.runs set step_failures = 1, sink_uri = $1, manifest_key = $1 where id = $2`,
    [hostile, moving],
  );
  const exporting = await rows.run({ definition: definitionName, from: hoursAgo(1), state: 'exporting' });
  await rows.export(exporting, 'created', { status: hostile, job: hostile, progress: 50 });
  const exported = await rows.export(moving, 'completed', { status: hostile, job: `${hostile}2` });
  for (const state of ['transferring', 'waiting', 'dead', 'verified']) {
    const file = await rows.file({
      run: moving,
      export: exported,
      name: `${hostile} ${state}`,
      state,
      reason: hostile,
    });
    await rows.history({
      run: moving,
      file,
      subject: 'file',
      from: hostile,
      to: 'transferring',
      who: hostile,
      reason: hostile,
    });
  }
  const paths = [
    '/',
    '/runs',
    `/runs/${failed}`,
    `/runs/${moving}`,
    `/runs/${exporting}`,
    `/definitions/${encodeURIComponent(definitionName)}`,
    `/search?q=${encodeURIComponent(hostile)}`,
    `/runs?definition=${encodeURIComponent(definitionName)}`,
    `/definitions/${encodeURIComponent(`${hostile}nobody`)}`,
    `/?month=${encodeURIComponent(hostile)}`,
    `/runs?after=${encodeURIComponent(hostile)}`,
    `/runs/${failed}?did=constructor`,
  ];
  for (const path of paths) {
    const { status, body } = await place.ask(path);
    expect(status, path).toBeLessThan(500);
    expect(body, path).not.toMatch(/<img|onerror=[^&]*>(?!.*&gt;)|<script>/);
    expect(body.match(/<script/g), path).toHaveLength(1);
  }
  expect((await place.ask(`/runs/${moving}`)).body).toContain('&lt;img src=x onerror=alert(1)&gt;');
  expect((await place.ask('/')).body).toContain(
    `/definitions/${encodeURIComponent(definitionName).replaceAll("'", '&#39;')}`,
  );
});

test('a page says that Postgres is away, and works again when it is back', async () => {
  await using place = await makePlace();
  const database = new URL(place.url);
  const sockets = new Set<Socket>();
  const gate = createServer((client) => {
    const server = connect(Number(database.port || 5432), database.hostname);
    client.pipe(server).pipe(client);
    for (const end of [client, server]) {
      sockets.add(end);
      end.on('error', () => [client, server].map((socket) => socket.destroy()));
    }
  });
  gate.listen(0, '127.0.0.1');
  await once(gate, 'listening');
  const { port } = gate.address() as AddressInfo;
  const behind = new URL(database);
  behind.host = `127.0.0.1:${port}`;
  const { pipeline, config } = place;
  const page = await servePage({ pipeline, url: behind.href, settings: config.page });
  try {
    expect((await fetch(`${page.address}/`)).status).toBe(200);
    gate.close();
    for (const socket of sockets) socket.destroy();
    const answer = await fetch(`${page.address}/runs`);
    expect(answer.status).toBe(503);
    const text = await answer.text();
    expect(text).toContain('Postgres does not answer');
    expect(text).not.toMatch(/postgres:\/\/|test_|ECONN/);
    gate.listen(port, '127.0.0.1');
    await once(gate, 'listening');
    await expect.poll(async () => (await fetch(`${page.address}/runs`)).status).toBe(200);
  } finally {
    await page.close();
    gate.close();
  }
});
