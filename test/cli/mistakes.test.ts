import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parse } from 'yaml';
import { definition, makePlace } from './place.ts';
import type { Place } from './place.ts';

let place: Place;
beforeAll(async () => {
  place = await makePlace();
  await place.configure({
    definitions: { contacts: definition(), interactions: definition({ type: 'Interactions' }) },
  });
});
afterAll(() => place[Symbol.asyncDispose]());

/** Expects a refusal that changed nothing: exit code 2, and this as its only message. */
async function refused(args: string, message: string | RegExp): Promise<void> {
  const ended = await place.run(args);
  expect(ended, args).toMatchObject({ code: 2, stdout: '' });
  if (typeof message === 'string') expect(ended.stderr).toBe(`udm-sync: ${message}\n`);
  else expect(ended.stderr).toMatch(message);
}

test('names nobody knows are answered with those that are known', () =>
  Promise.all([
    refused(
      'run contcts',
      'There is no definition "contcts"; did you mean "contacts"? The config has: contacts, interactions.',
    ),
    refused(
      'runs --definition calls',
      'There is no definition "calls". The config has: contacts, interactions.',
    ),
    refused('cipher show acmee', 'There is no tenant "acmee"; did you mean "acme"? The config has: acme.'),
    refused(
      'runs --state done,finished',
      '--state is "finished"; it must be one or more of: planned, creating, exporting, cancelling, collecting, transferring, stored, done, failed, cancelled.',
    ),
    refused('retry 4711', 'There is no run 4711. udm-sync runs lists them.'),
    refused('retry abc', '<run> is "abc"; it must be the id of a run, a number as udm-sync runs shows it.'),
    refused('runs --limit 0', '--limit is "0"; it must be a whole number from 1 to 100000.'),
    refused('run --timeout soon', '--timeout is "soon"; it must be a duration such as 90s, 50m or 2h.'),
  ]));

test('a back-fill over dates that make no sense is refused before anything is done', async () => {
  const date =
    'it must be a date (2026-01-31) or a date and time (2026-01-31T08:00:00Z), in UTC unless it says otherwise.';
  await Promise.all([
    refused(
      'backfill contacts --from 2026-01-02 --to 2026-01-01',
      '--from (2026-01-02T00:00:00Z) must be before --to (2026-01-01T00:00:00Z).',
    ),
    refused('backfill contacts --from yesterday --to 2026-01-01', `--from is "yesterday"; ${date}`),
    refused('backfill contacts --from 2026-01-01 --to 2026-02-30', `--to is "2026-02-30"; ${date}`),
    refused(
      'backfill contacts --from 2026-01-01T08:30 --to 2026-01-02',
      '--from is 2026-01-01T08:30:00Z, but windows of contacts (1d, UTC) begin at 2026-01-01T00:00:00Z and 2026-01-02T00:00:00Z.',
    ),
    refused(
      'backfill contacts --from 2026-01-01 --to 2026-01-02T00:00+01:00',
      '--to is 2026-01-01T23:00:00Z, but windows of contacts (1d, UTC) begin at 2026-01-01T00:00:00Z and 2026-01-02T00:00:00Z.',
    ),
    refused(
      'backfill contacts --from 2026-01-01 --to 2126-01-02 --json',
      /^udm-sync: --to is 2126-01-02T00:00:00Z, but windows of contacts are complete only up to 2\d{3}-\S+ \(windows.length and windows.lag\)\.\n$/m,
    ),
    refused(
      'backfill contacts --from 2026-01-01 --to 2026-01-02 --concurrency 0',
      '--concurrency is "0"; it must be a whole number from 1 to 1000.',
    ),
  ]);
  expect(await place.sql('select * from udm_sync.runs')).toEqual([]);
  expect(place.simulator.requests).toEqual([]);
});

test('every mistake of a config file is told at once, by line, and none shows a secret', async () => {
  await writeFile(
    join(place.folder, 'wrong.yaml'),
    `tenants:
  acme:
    baseUrl: ftp://gapi.example.com
    apiKey: planted-api-key-5c1e
    auth: { grant: pasword, password: planted-user-password-3d77 }
sinks:
  disk: { type: filesystem }
definitions:
  contacts:
    tenant: acmee
    sink: disk
    source: UCSX
    type: contacts
    schedule: { cron: '0 0 31 2 *', timeZone: Mars/Olympus }
    windows: { length: 7h }
    delet: files
`,
  );
  await refused(
    'status -c wrong.yaml',
    `8 mistakes in the configuration (wrong.yaml):
  - line 3: tenants.acme.baseUrl must be an https:// address without credentials, query or /udm at its end (http:// for loopback only), such as https://gapi-use1.genesyscloud.com; got "ftp://gapi.example.com"
  - line 5: tenants.acme.auth.grant must be one of password, client_credentials, refresh_token, token; got "pasword"
  - line 7: sinks.disk.directory is required: a path, such as /var/lib/udm-sync/exports
  - line 10: definitions.contacts.tenant must be the name of one of tenants — did you mean acme?; got "acmee"
  - line 14: definitions.contacts.schedule.cron must be a cron expression of 5 fields, or 6 with seconds first, such as "5 * * * *" (dayOfMonth: 31 2 is an impossible day of month for the given month); got "0 0 31 2 *"
  - line 14: definitions.contacts.schedule.timeZone must be an IANA time zone, such as UTC or Europe/Berlin; got "Mars/Olympus"
  - line 15: definitions.contacts.windows.length must be a duration that divides a day (whole minutes) or is whole days, up to 31d, such as 15m, 1h or 1d; got "7h"
  - line 16: definitions.contacts.delet is no setting — did you mean delete?
See docs/configuration.md for every setting.`,
  );
});

test('a config file that is not there, empty or no YAML is told like any other mistake', async () => {
  await writeFile(join(place.folder, 'empty.yaml'), '');
  await writeFile(join(place.folder, 'broken.yaml'), 'tenants: [\n');
  await Promise.all([
    refused(
      '-c nowhere.yaml run',
      /^udm-sync: 1 mistake in the configuration \(nowhere\.yaml\):\n {2}- nowhere.yaml does not exist\nName another with --config/,
    ),
    refused('runs -c empty.yaml', /\n {2}- empty\.yaml is empty\nBegin with udm-sync\.example\.yaml/),
    refused('doctor -c broken.yaml', /\n {2}- line \d: YAML is not valid/),
  ]);
});

test('config print shows what is in force without a secret, config schema accepts the file', async () => {
  const printed = await place.run('config print', { LOG_LEVEL: 'trace' });
  expect(printed).toMatchObject({ code: 0, stderr: '' });
  expect(parse(printed.stdout)).toMatchObject({
    database: { url: expect.stringContaining(':***@'), migrate: true },
    tenants: { acme: { apiKey: '***', auth: { clientId: 'acme-client', password: '***' } } },
    log: { level: 'trace' },
  });
  const json = await place.run('config print --json');
  expect(JSON.parse(json.stdout)).toMatchObject({ tenants: { acme: { apiKey: '***' } } });

  const schema = await place.run('config schema');
  expect(schema).toMatchObject({ code: 0, stderr: '' });
  const validate = new Ajv2020({ strict: false }).compile(JSON.parse(schema.stdout));
  const base: unknown = parse(await readFile(join(place.folder, 'udm-sync.yaml'), 'utf8'));
  const accepts = (sections: object) => validate({ ...Object(base), ...sections });
  expect(accepts({})).toBe(true);
  expect(accepts({ worker: { exports: 0 } })).toBe(false);
});

test('without a setting, the embedded Postgres keeps its data outside of the project', async () => {
  await place.configure({ database: {} });
  const printed = await place.run('config print', { XDG_DATA_HOME: '/home/joe/share' });
  const directory =
    process.getuid?.() === 0 ? '/var/lib/udm-sync/postgres' : '/home/joe/share/udm-sync/postgres';
  expect(parse(printed.stdout)).toMatchObject({ database: { dataDir: directory } });
});
