import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cephInstalled, startS3Server } from '../support/s3.ts';
import type { S3Server } from '../support/s3.ts';
import { forbid } from './processes.ts';
import { definition, makePlace, s3Sink, usualConfig } from './place.ts';
import type { Place, Settings } from './place.ts';

/** What lies around the program, and is not there or does not let it in. */

let place: Place;
let s3: S3Server;
let closedPort: number;
beforeAll(async () => {
  [place, s3] = await Promise.all([makePlace(), startS3Server()]);
  forbid(s3.credentials.secretAccessKey, s3.stranger.secretAccessKey, 'planted-wrong');
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  closedPort = (server.address() as AddressInfo).port;
  server.close();
});
afterAll(async () => {
  await place[Symbol.asyncDispose]();
  await s3.stop();
});

function databaseAt(change: (url: URL) => void): { DATABASE_URL: string } {
  const url = new URL(place.databaseUrl);
  change(url);
  return { DATABASE_URL: url.href };
}

const shown = (url: string) => url.replace(/\/\/[^@]*@/, '//');

describe('Postgres', () => {
  test.each([
    [
      'a closed port',
      (url: URL) => (url.port = String(closedPort)),
      /cannot be used: connect ECONNREFUSED \S+:\d+\. Check that it runs, that DATABASE_URL names the right host/,
    ],
    [
      'a wrong password',
      (url: URL) => (url.password = 'planted-wrong'),
      /password authentication failed for user "\w+"\. Correct user and password in DATABASE_URL/,
    ],
    [
      'a database that is not there',
      (url: URL) => (url.pathname = '/elsewhere'),
      /database "elsewhere" does not exist\. Create the database, or correct its name in DATABASE_URL\./,
    ],
  ])('%s is one sentence at once', async (_, change, message) => {
    const env = databaseAt(change);
    const ended = await place.run('status', env);
    expect(ended).toMatchObject({ code: 1, stdout: '' });
    expect(ended.stderr).toMatch(message);
    expect(ended.stderr.startsWith(`udm-sync: Postgres at ${shown(env.DATABASE_URL)} cannot be used`)).toBe(
      true,
    );
    expect(ended.stderr).toMatch(/ \[ERR_DATABASE\]\n$/);
  });

  test('a schema that is missing is named with its remedy, also when it breaks later', async () => {
    const config = usualConfig(place.simulator.baseUrl, place.databaseUrl);
    await place.configure({ database: { ...config.database, migrate: false } });
    await place.sql('create database empty_one');
    try {
      const empty = databaseAt((url) => (url.pathname = '/empty_one'));
      const [status, doctor] = await Promise.all([place.run('status', empty), place.run('doctor', empty)]);
      const lacks = /The database lacks \d+ migrations/;
      expect(status).toMatchObject({ code: 1, stderr: expect.stringMatching(lacks) });
      expect(status.stderr).toContain('Run: udm-sync migrate');
      expect(doctor.stdout).toMatch(
        /FAIL {2}schema: The database lacks \d+ migrations\. Run: udm-sync migrate \[ERR_MIGRATIONS\]/,
      );
      await place.sql('alter schema udm_sync rename to away');
      const broken = await place.run('runs');
      expect(broken).toMatchObject({ code: 1, stdout: '' });
      expect(broken.stderr).toMatch(
        /^udm-sync: Postgres at \S+ cannot be used: relation "udm_sync\.runs" does not exist\. The schema is not there or not of this version: run udm-sync migrate\. \[ERR_DATABASE\]\n$/,
      );
    } finally {
      await place.sql('alter schema away rename to udm_sync').catch(() => undefined);
      await place.sql('drop database empty_one with (force)');
      await place.configure();
    }
  });

  test('any number of migrations at once leave one schema', async () => {
    await place.sql('create database fresh_one');
    try {
      const fresh = databaseAt((url) => (url.pathname = '/fresh_one'));
      const both = await Promise.all([place.run('migrate --json', fresh), place.run('migrate', fresh)]);
      expect(both.map(({ code, stderr }) => ({ code, stderr }))).toEqual([
        { code: 0, stderr: '' },
        { code: 0, stderr: '' },
      ]);
      const said = both.map(({ stdout }) => stdout);
      expect(said.filter((text) => /"applied": 0|up to date/.test(text))).toHaveLength(1);
      expect(await place.run('migrate', fresh)).toEqual({
        code: 0,
        stdout: 'The database is up to date.\n',
        stderr: '',
      });
    } finally {
      await place.sql('drop database fresh_one with (force)');
    }
  });
});

const tenants = (change: (acme: Settings & { auth: Settings }) => void) => {
  const config = usualConfig(place.simulator.baseUrl, place.databaseUrl);
  const acme: Settings & { auth: Settings } = structuredClone(config.tenants.acme);
  change(acme);
  return { tenants: { acme } };
};

describe('the upstream', () => {
  test.each([
    [
      'an address where nothing is',
      (acme: Settings) => (acme['baseUrl'] = `http://127.0.0.1:${closedPort}`),
      /token: .*ECONNREFUSED.* Check the base URL and the network .* \[ERR_UDM_UNAVAILABLE\]/,
    ],
    [
      'a wrong API key',
      (acme: Settings) => (acme['apiKey'] = 'planted-wrong'),
      /the API key was not accepted\. Check the tenant's API key .* \[ERR_UDM_API_KEY\]/,
    ],
    [
      'a wrong client',
      (acme: { auth: Settings }) => (acme.auth['clientSecret'] = 'planted-wrong'),
      /the client credentials were not accepted\. Check client id and client secret; .* \[ERR_UDM_CLIENT_CREDENTIALS\]/,
    ],
    [
      'a wrong user',
      (acme: { auth: Settings }) => (acme.auth['password'] = 'planted-wrong'),
      /the user credentials were not accepted\. Check user name \(tenant\\user\) and password, .* \[ERR_UDM_USER_CREDENTIALS\]/,
    ],
  ])('%s: doctor says so, and a run does not begin', async (_, change, message) => {
    await place.configure(tenants(change));
    const [doctor, run] = await Promise.all([place.run('doctor'), place.run('run --json')]);
    expect(doctor).toMatchObject({ code: 1, stderr: '' });
    expect(doctor.stdout).toMatch(/^ok {4}postgres: reachable/m);
    expect(doctor.stdout).toMatch(/^ok {4}sink disk: /m);
    expect(doctor.stdout).toMatch(/^FAIL {2}tenant acme: token: /m);
    expect(doctor.stdout.split('\n').find((line) => line.startsWith('FAIL'))).toMatch(message);
    // What needs the token is not tried in vain.
    expect(doctor.stdout).toMatch(/\n1 of \d checks failed\.\n$/);
    expect(run).toMatchObject({ code: 1, stdout: '' });
    expect(run.stderr).toMatch(/^udm-sync: tenant acme: /m);
    expect(await place.sql('select * from udm_sync.runs')).toEqual([]);
  });
});

describe('doctor', () => {
  test('with everything in place says so, check by check', async () => {
    await place.configure();
    const told = await place.run('doctor');
    expect(told).toMatchObject({ code: 0, stderr: '' });
    expect(
      told.stdout.replace(/(file|postgresql):\S+/g, '…').replaceAll(/:.*certificate: .*/g, ': certificate'),
    ).toMatchInlineSnapshot(`
        "ok    config: 1 definition
        ok    postgres: reachable, …
        ok    schema: up to date
        ok    sink disk: … wrote, read and removed an object
        ok    tenant acme: token: granted
        ok    tenant acme: API key and access: works; UDM 10.0.0-simulated
        ok    tenant acme: certificate
        ok    tenant acme: source UCSX: known
        ok    definition contacts: type Contacts: known

        Everything works.
        "
      `);
    const json = await place.run('doctor --json');
    expect(JSON.parse(json.stdout)).toMatchObject({ ok: true, findings: expect.any(Array) });
  });

  test('with everything broken says of each thing what to do', async () => {
    await writeFile(join(place.folder, 'a-file'), '');
    await using bare = await makePlace({ certificate: false });
    await place.configure({
      tenants: {
        acme: { ...usualConfig(bare.simulator.baseUrl, place.databaseUrl).tenants.acme },
      },
      sinks: {
        disk: { type: 'filesystem', directory: './a-file/below' },
        bucket: s3Sink(s3, 'no-such-bucket'),
      },
      definitions: {
        contacts: definition({ source: 'UCSY' }),
        calls: definition({ type: 'Calls' }),
      },
    });
    const told = await place.run(
      'doctor --json',
      databaseAt((url) => (url.port = String(closedPort))),
    );
    expect(told).toMatchObject({ code: 1, stderr: '' });
    const { ok, findings } = JSON.parse(told.stdout) as {
      ok: boolean;
      findings: { check: string; ok: boolean; code?: string; detail: string }[];
    };
    expect(ok).toBe(false);
    expect(findings.filter((f) => !f.ok).map((f) => [f.check, f.code])).toEqual([
      ['postgres', 'ERR_DATABASE'],
      ['sink disk', 'ERR_SINK_ACCESS'],
      ['sink bucket', 'ERR_SINK_BUCKET'],
      ['tenant acme: certificate', 'ERR_CERTIFICATE'],
      ['tenant acme: source UCSY', 'ERR_UNKNOWN_WORD'],
      ['definition calls: type Calls', 'ERR_UNKNOWN_WORD'],
    ]);
    const detail = (check: string) => findings.find((f) => f.check === check)?.detail;
    expect(detail('tenant acme: certificate')).toBe(
      'No encryption certificate has been uploaded for this tenant. Upload one with: udm-sync cipher upload <certificate.pem> acme. Without it every export fails.',
    );
    expect(detail('sink bucket')).toMatch(
      /NoSuchBucket.* create it, or correct the sink's bucket or endpoint\.$/,
    );
    expect(detail('definition calls: type Calls')).toMatch(
      /it has: Interactions, Contacts\. Correct the definition/,
    );
    expect(await bare.run('cipher show')).toEqual({
      code: 1,
      stdout: 'No certificate has been uploaded. Upload one with: udm-sync cipher upload <certificate.pem>\n',
      stderr: '',
    });
  });
});

describe('S3', () => {
  test.skipIf(!cephInstalled())(
    'who may not write, and whom the store does not know, is told so',
    async () => {
      const bucket = await s3.createBucket();
      const wrong = { ...s3.credentials, secretAccessKey: 'planted-wrong' };
      const unknown = { accessKeyId: 'nobody', secretAccessKey: 'planted-wrong' };
      await place.configure({
        sinks: {
          stranger: s3Sink(s3, bucket, s3.stranger),
          wrong: s3Sink(s3, bucket, wrong),
          unknown: s3Sink(s3, bucket, unknown),
        },
        definitions: { contacts: definition({ sink: 'stranger' }) },
      });
      const [doctor, run] = await Promise.all([place.run('doctor'), place.run('run')]);
      expect(doctor.code).toBe(1);
      expect(doctor.stdout).toMatch(
        /FAIL {2}sink stranger: .*AccessDenied.* missing for these credentials: s3:PutObject/,
      );
      expect(doctor.stdout).toMatch(/FAIL {2}sink wrong: .* does not belong to the access key id/);
      expect(doctor.stdout).toMatch(/FAIL {2}sink unknown: .* does not know the access key id/);
      expect(run.code).toBe(1);
      expect(run.stderr).toMatch(/^udm-sync: sink stranger: PutObject on s3:.* \[ERR_SINK_ACCESS\]\n$/);
    },
  );
});
