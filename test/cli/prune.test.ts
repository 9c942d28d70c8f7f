import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { prune, read, runHistory, status, verify, work } from './contract.ts';
import { makePlace } from './place.ts';
import type { Place } from './place.ts';

let place: Place;
beforeAll(async () => {
  place = await makePlace();
});
afterAll(() => place[Symbol.asyncDispose]());

test('prune counts first, deletes then, and what was exported stays exported', async () => {
  const backfilled = await place.run('backfill contacts --from 2026-01-01 --to 2026-01-03 --json');
  expect(backfilled.code, backfilled.stderr).toBe(0);
  const [one, two] = read(work, backfilled.stdout).runs;
  if (!one || !two) throw new Error('two windows make two runs');
  await place.sql(`update udm_sync.runs set finished_at = now() - interval '50 days' where id = ${one.run}`);
  await place.sql(
    `update udm_sync.files set expires_at = now() - interval '20 days' where run_id = ${one.run}`,
  );

  // Nothing is as old as 400 days.
  const usual = read(prune, (await place.run('prune --dry-run --json')).stdout);
  expect(usual).toMatchObject({ dryRun: true, runs: 0, held: 0 });
  expect(Date.now() - Date.parse(usual.before)).toBeGreaterThan(399 * 86_400_000);
  await place.configure({ history: { keep: '45d' } });
  const told = await place.run('prune --dry-run');
  expect(told).toEqual({
    code: 0,
    stdout: expect.stringMatching(
      /^Would prune 1 run finished before 20\d\d-\d\d-\d\dT\S+Z: \d+ files? and \d+ lines of history\.\n$/,
    ),
    stderr: '',
  });
  const preview = read(prune, (await place.run('prune --dry-run --json --older-than 45d')).stdout);
  const pruned = read(prune, (await place.run('prune --json')).stdout);
  expect(pruned).toEqual({ ...preview, dryRun: false, before: pruned.before });
  expect(pruned).toMatchObject({ runs: 1, held: 0 });
  expect(pruned.files).toBeGreaterThan(0);
  expect(await place.sql(`select from udm_sync.history where run_id = ${one.run}`)).toEqual([]);

  const history = await place.run(`run-history ${one.run}`);
  expect(history.stdout).toMatch(
    /, done, attempt 1\nIts files and history were pruned at \S+Z; in the sink, \S+_manifest\.json still tells of its files\.\nUpstream job .*\n$/,
  );
  const known = read(runHistory, (await place.run(`run-history ${one.run} --json`)).stdout);
  expect(known).toMatchObject({ state: 'done', files: [], history: [] });
  expect(known.prunedAt).not.toBeNull();
  expect(read(runHistory, (await place.run(`run-history ${two.run} --json`)).stdout).prunedAt).toBeNull();

  // Whether the files are all there is known from the manifest.
  const checked = read(verify, (await place.run(`verify --run ${one.run} --json`)).stdout);
  expect(checked).toMatchObject({ ok: true, totals: { runs: 1, files: pruned.files } });
  const [file] = checked.runs[0]?.files ?? [];
  await rm(join(place.folder, 'stored', file?.key ?? ''));
  const lacking = read(verify, (await place.run(`verify --run ${one.run} --json`)).stdout);
  expect(lacking).toMatchObject({ ok: false, totals: { problems: { missing: 1, manifest: 0 } } });

  // As good as before.
  const again = await place.run('backfill contacts --from 2026-01-01 --to 2026-01-03 --dry-run');
  expect(again.stdout).toMatch(/: 0 to export, 0 to try again, 0 under way, 2 done already\.\n$/);
  expect(read(status, (await place.run('status --json')).stdout)).toMatchObject({
    verdict: 'safe',
    definitions: [{ done: 2, missing: 0, doneUntil: '2026-01-03T00:00:00.000Z' }],
  });
});

test('what is still owed upstream is kept, and said', async () => {
  await place.sql(`update udm_sync.runs set finished_at = now() - interval '50 days', pruned_at = null`);
  await place.sql(
    `update udm_sync.files set state = 'verified', deleted_at = null, expires_at = now() - interval '20 days'`,
  );
  const told = await place.run('prune --older-than 45d');
  expect(told.stdout).toMatch(
    /^Pruned 1 run finished before .*: 0 files and 0 lines of history\.\nKept the details of 1 run as old: /,
  );
});

test('records are kept for as long as the upstream may have the files', async () => {
  for (const wrong of ['39d', '1w', 'soon'])
    expect(await place.run(`prune --older-than ${wrong}`)).toEqual({
      code: 2,
      stdout: '',
      stderr: expect.stringMatching(
        wrong === 'soon'
          ? /^udm-sync: --older-than is "soon"; it must be a duration such as/
          : new RegExp(
              `^udm-sync: --older-than is "${wrong}"; it must be at least 40d: the upstream keeps files for 30d `,
            ),
      ),
    });
});
