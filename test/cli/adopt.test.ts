import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { read, runs, status, work } from './contract.ts';
import { definition, makePlace, usualConfig } from './place.ts';
import type { Place } from './place.ts';

/** Definitions that adopt, on the command line; and a tenant that is broken beside one that is not. */

let place: Place;
let job: string;
const hour = 3_600_000;
const adopting = Object.fromEntries(
  Object.entries(definition({ adopt: { title: 'Nightly contacts' } })).filter(([name]) => name !== 'windows'),
);

beforeAll(async () => {
  place = await makePlace();
  await place.configure({ definitions: { nightly: adopting } });
  const made = place.simulator.addJob({
    source: 'UCSX',
    type: 'contacts',
    title: 'Nightly contacts',
    timeFrame: { all: true },
    schedulerParam: { immediately: false, cron: '0 2 * * *' },
  });
  if (typeof made !== 'string') throw new Error(made.problem);
  job = made;
});
afterAll(() => place[Symbol.asyncDispose]());

const doctor = z.object({
  findings: z.array(
    z.object({ check: z.string(), ok: z.boolean(), code: z.string().nullish(), detail: z.string() }),
  ),
});
async function adoptionCheck() {
  const { findings } = read(doctor, (await place.run('doctor --json')).stdout);
  return findings.find((finding) => finding.check.startsWith('definition nightly: adopts'));
}

test('doctor says what an adopting definition matches, and what it could match', async () => {
  expect(await adoptionCheck()).toMatchObject({
    ok: true,
    detail: 'the job "Nightly contacts" matches; it has no history entry yet',
  });
  place.simulator.runJob(job, { at: new Date(place.simulator.clock.now() - 2 * hour) });
  place.simulator.runJob(job, { at: new Date(place.simulator.clock.now() - hour), fails: 'failed' });
  expect(await adoptionCheck()).toMatchObject({
    ok: true,
    detail: '2 history entries match: 1 completed, 1 failed, 0 cancelled, 0 unfinished',
  });
  await place.configure({ definitions: { nightly: { ...adopting, adopt: { title: 'Nightly contact' } } } });
  const wrong = await adoptionCheck();
  expect(wrong).toMatchObject({ ok: false, code: 'ERR_NOTHING_TO_ADOPT' });
  expect(wrong?.detail).toContain('Titles upstream: "Nightly contacts".');
  await place.configure({ definitions: { nightly: adopting } });
});

test('run adopts what there is and ends; status and runs show it; nothing can be back-filled', async () => {
  const ran = await place.run('run --json');
  expect(ran.code, ran.stderr).toBe(3);
  expect(read(work, ran.stdout)).toMatchObject({ done: 1, failed: 1, left: 0 });
  const again = await place.run('run --json');
  expect(again.code, again.stderr).toBe(0);
  expect(read(work, again.stdout)).toMatchObject({ runs: [] });

  const listed = read(runs, (await place.run('runs --json')).stdout);
  expect(listed.map(({ origin, state }) => [origin, state])).toEqual([
    ['adopt', 'failed'],
    ['adopt', 'done'],
  ]);
  expect(listed.map(({ entry }) => entry).sort()).toEqual(
    place.simulator
      .state()
      .jobs[0]?.runs.map(({ id }) => id)
      .sort(),
  );
  expect((await place.run('runs')).stdout).toMatch(/nightly +entry of \S+Z +done/);
  expect(read(status, (await place.run('status --json')).stdout)).toMatchObject({
    verdict: 'at-risk',
    definitions: [
      {
        definition: 'nightly',
        done: 1,
        failed: 1,
        missing: 0,
        adopts: { matched: 2, inProgress: 0, reason: null },
      },
    ],
  });
  expect((await place.run('status')).stdout).toMatch(
    /nightly adopts the entries of "Nightly contacts": 2 seen at \S+Z, of which 0 in progress\./,
  );
  const backfill = await place.run('backfill nightly --from 2026-01-01 --to 2026-01-02');
  expect(backfill).toMatchObject({ code: 2, stdout: '' });
  expect(backfill.stderr).toContain(
    "nightly adopts what people's jobs made; it has no windows to back-fill.",
  );
});

test('a look that fails is shown, and the exit code says so', async () => {
  const broken = place.simulator.faults.add({
    endpoint: 'GET /v10/export/history',
    kind: 'status',
    status: 400,
  });
  const ran = await place.run('run');
  expect(ran.code, ran.stdout).toBe(1);
  expect(ran.stdout).toContain('the history of jobs could not be looked at');
  const told = await place.run('status');
  expect(told.stdout).toMatch(/could not be looked at: /);
  broken.remove();
});

test('run does what can be done when the tenant of another definition is broken, and exits with 1', async () => {
  const { acme } = usualConfig(place.simulator.baseUrl, place.databaseUrl).tenants;
  await place.configure({
    tenants: { acme, other: { ...acme, apiKey: 'planted-wrong-key' } },
    definitions: { contacts: definition(), broken: definition({ tenant: 'other' }) },
  });
  const ran = await place.run('run --json');
  expect(ran.code, ran.stderr).toBe(1);
  expect(ran.stderr).toMatch(/udm-sync: tenant other: .*\[ERR_UDM_API_KEY\]/);
  expect(read(work, ran.stdout)).toMatchObject({
    exitCode: 1,
    done: 1,
    left: 0,
    runs: [{ definition: 'contacts' }],
  });
});
