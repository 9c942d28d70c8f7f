import { readFile, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { GetObjectCommand, HeadObjectCommand, ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { definition, makePlace, s3Sink, tenant, usualConfig } from '../cli/place.ts';
import type { Place } from '../cli/place.ts';
import { forbid, leaks } from '../cli/processes.ts';
import type { Ended, Running } from '../cli/processes.ts';
import { startRecordingProxy } from '../sinks/recording-proxy.ts';
import type { RecordingProxy } from '../sinks/recording-proxy.ts';
import { startS3Server } from '../support/s3.ts';
import type { S3Server } from '../support/s3.ts';
import { eavesdrop } from './eavesdropper.ts';
import type { Eavesdropper } from './eavesdropper.ts';

/**
 * Secrets are planted wherever there can be some, and real processes run at the highest log level into everything
 * that can go wrong, with servers that quote back whatever they were sent. Then all that was printed or kept is
 * searched. Every process's output is searched as it ends, too (processes.ts).
 */

const planted = {
  refresh: 'planted-refresh-token-a91c',
  fixed: 'planted-fixed-token-b204',
  s3Secret: 'planted-s3-secret-c3d9',
  s3Session: 'planted-s3-session-token-d8f7',
  wrongSecret: 'planted-wrong-client-secret-e5a2',
};

let place: Place;
let s3: S3Server;
let s3Proxy: RecordingProxy;
let bucket: string;
let ear: Eavesdropper;
const heard: string[] = [];
const titles = new Set<string>();

beforeAll(async () => {
  [place, s3] = await Promise.all([
    makePlace({ filesFor: (job) => [1, 2].map((n) => ({ name: `${job.id}-${n}.zip`, size: 6_000_000 })) }),
    startS3Server(),
  ]);
  [s3Proxy, ear, bucket] = await Promise.all([
    startRecordingProxy(s3.endpoint),
    eavesdrop(place.simulator.baseUrl),
    s3.createBucket(),
  ]);
  forbid(...Object.values(planted), s3.credentials.secretAccessKey);
  forbid(Buffer.from(`${tenant.clientId}:${tenant.clientSecret}`).toString('base64'));

  const schedule = { cron: '* * * * *' };
  const patient = { attempts: 20, minDelay: '1s', maxDelay: '2s' };
  const through = { ...s3, endpoint: s3Proxy.endpoint };
  const usual = usualConfig(ear.url, place.databaseUrl);
  const acme = { ...usual.tenants.acme, requestTimeout: '1s' };
  const client = { clientId: tenant.clientId, clientSecret: tenant.clientSecret };
  await place.configure({
    ...usual,
    tenants: {
      acme,
      refreshing: { ...acme, auth: { grant: 'refresh_token', ...client, refreshToken: planted.refresh } },
      fixed: { ...acme, auth: { grant: 'token', token: planted.fixed } },
      wrong: { ...acme, auth: { ...acme.auth, clientSecret: planted.wrongSecret } },
    },
    sinks: {
      bucket: { ...s3Sink(through, bucket), partSize: '5MiB' },
      nowhere: {
        ...s3Sink(through, 'udm-sync-no-such-bucket'),
        secretAccessKey: planted.s3Secret,
        sessionToken: planted.s3Session,
      },
      disk: { type: 'filesystem', directory: './stored' },
    },
    definitions: {
      fine: definition({
        sink: 'bucket',
        schedule,
        retry: { attempts: 20, minDelay: '10ms', maxDelay: '50ms' },
      }),
      denied: definition({ sink: 'nowhere', schedule, retry: patient }),
      refreshing: definition({ tenant: 'refreshing', schedule, retry: patient }),
      fixed: definition({ tenant: 'fixed', schedule, retry: patient }),
      wrong: definition({ tenant: 'wrong', schedule, retry: patient }),
    },
    log: { level: 'trace', format: 'json' },
  });
});
afterAll(async () => {
  await place[Symbol.asyncDispose]();
  await Promise.all([s3Proxy.stop(), ear.stop()]);
  await s3.stop();
});

/** What the system tells everyone on this machine about a process. */
async function noteTitle({ child }: Running): Promise<void> {
  const { pid } = child;
  if (pid === undefined) return;
  for (const file of ['cmdline', 'comm', 'task/' + String(pid) + '/comm'])
    titles.add(await readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => ''));
}

async function follow(running: Running): Promise<Ended> {
  await noteTitle(running);
  const ended = await running.ended;
  heard.push(ended.stdout, ended.stderr);
  return ended;
}

/** Answers some of the requests by quoting them; returns how many of each kind there were. */
function misbehave(): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  ear.intervene = ({ hop, method, path, quoted }) => {
    const kind =
      hop === 'origin' ? 'origin' : `${method} ${path.replace(/\?.*/, '').replace(/[^/]*\.zip$/, '{name}')}`;
    const n = (counts.get(kind) ?? 0) + 1;
    counts.set(kind, n);
    const body = JSON.stringify({ message: `Bad: ${quoted}`, error_description: quoted });
    if (kind.endsWith('/oauth/token')) {
      if (n === 1) return { status: 500, body };
      if (n === 2) return { status: 400, body };
      return undefined;
    }
    if (hop === 'origin') {
      const xml = `<Error><Code>AccessDenied</Code><Message>${quoted}</Message><SignatureProvided>${quoted}</SignatureProvided></Error>`;
      if (n === 1 || n === 4) return { status: 403, body: xml };
      if (n === 2) return 'reset';
      if (n === 3) return { status: 503, body: quoted };
      return undefined;
    }
    if (n === 1) return { status: 400, body };
    if (n === 2) return { status: 401, body };
    if (n === 3) return { status: 502, body: `<html>${quoted}</html>` };
    if (n === 4) return { status: 200, body };
    return n === 5 ? 'reset' : undefined;
  };
  let writes = 0;
  s3Proxy.intervene = ({ operation, headers, path }) => {
    const signature = /Signature=(\w+)/.exec(headers.authorization ?? '')?.[1];
    if (signature) ear.credentials.add(signature);
    if (operation !== 'PutObject' && operation !== 'UploadPart') return undefined;
    writes += 1;
    const body = `<Error><Code>SignatureDoesNotMatch</Code><Message>${path} ${JSON.stringify(headers)}</Message><StringToSign>${headers.authorization ?? ''}</StringToSign></Error>`;
    if (writes === 1) return { answer: { status: 403, body } };
    if (writes === 2) return { answer: { status: 500, body } };
    return writes === 3 ? { loseAnswer: true } : undefined;
  };
  return counts;
}

const reasonOf = async (name: string) => {
  const rows = await place.sql<{ state: string; reason: string | null }>(
    `select state, reason from udm_sync.runs where definition = '${name}'`,
  );
  return rows[0] ? `${rows[0].state}: ${rows[0].reason ?? ''}` : '';
};

const until = (what: () => Promise<unknown>, pattern: RegExp) =>
  expect.poll(what, { timeout: 45_000, interval: 100 }).toMatch(pattern);

test('a worker that meets every kind of failure prints no secret', async () => {
  expect((await follow(place.start('migrate'))).code).toBe(0);
  const asked = misbehave();
  const worker = place.start('worker', { LOG_LEVEL: 'trace' });
  const ended = follow(worker);
  await until(() => reasonOf('refreshing'), /ERR|refresh|user name, password|credentials/i);
  await until(() => reasonOf('fixed'), /token was not accepted/);
  await until(() => reasonOf('wrong'), /client/);
  // Postgres fails in the middle as well, once with the row in its message.
  await place.sql(`create function udm_sync.spill() returns trigger language plpgsql as
    $$ begin raise exception 'spilled: %', new; end $$`);
  await place.sql(
    `create trigger spill before insert on udm_sync.history for each row execute function udm_sync.spill()`,
  );
  await place.sql(
    `select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'udm-sync%' and datname = current_database()`,
  );
  await until(() => Promise.resolve(worker.said()), /spilled/);
  await place.sql(`drop trigger spill on udm_sync.history`);
  await until(() => reasonOf('fine'), /^done/);
  await until(
    () =>
      place
        .sql<{ reason: string }>(`select reason from udm_sync.files where reason ~ 'bucket' limit 1`)
        .then(([row]) => row?.reason ?? ''),
    /bucket/,
  );
  const activity = await place.sql<{ text: string }>(`select a::text as text from pg_stat_activity a`);
  heard.push(...activity.map(({ text }) => text).filter((text) => text.includes('udm-sync')));
  worker.child.kill('SIGTERM');
  expect((await ended).code).toBe(0);
  forbid(...ear.credentials);
  // What was meant to go wrong did.
  expect(asked.get('origin')).toBeGreaterThan(4);
  const said = heard.join('');
  for (const trouble of [
    '"level":"debug"',
    'retry',
    'ERR_',
    '[redacted]',
    'spilled',
    'transfer failed',
    'step failed',
  ])
    expect(said).toContain(trouble);
});

test('no other command does, whatever stops it', async () => {
  const echo = ({ quoted }: { quoted: string }) => ({
    status: 400,
    body: JSON.stringify({ message: quoted }),
  });
  const url = new URL(place.databaseUrl);
  const at = (change: (url: URL) => void) => {
    const copy = new URL(url);
    change(copy);
    return { DATABASE_URL: copy.href };
  };
  const commands: [string, Record<string, string>?][] = [
    ['status --json'],
    ['runs --json'],
    ['config print'],
    ['config print --json'],
    ['doctor --json'],
    ['run --definition fine --json', { LOG_LEVEL: 'trace' }],
    ['status', at((copy) => (copy.port = '1'))],
    ['status', at((copy) => (copy.pathname = '/elsewhere'))],
    ['status', at((copy) => (copy.username = 'nobody'))],
    ['status', { DATABASE_URL: url.href.replace(url.host, 'no host') }],
    ['status', { DATABASE_URL_FILE: url.password }],
    ['config print', { UDM_SYNC_TENANTS__ACME__API_KEEY: tenant.apiKey }],
  ];
  const runs = await place.sql<{ id: string }>('select id from udm_sync.runs order by id limit 2');
  for (const { id } of runs) commands.push([`run-history ${id}`], [`run-history ${id} --json`]);
  for (let at = 0; at < commands.length; at += 4)
    await Promise.all(commands.slice(at, at + 4).map(([args, env]) => follow(place.start(args, env))));
  ear.intervene = echo;
  await Promise.all(
    ['doctor', 'doctor --json', 'run --definition fine', 'cipher show'].map((args) =>
      follow(place.start(args, { LOG_LEVEL: 'trace' })),
    ),
  );
  ear.intervene = () => undefined;
});

test('and none is kept: in no table, object, file, process title, or line that was heard', async () => {
  forbid(...ear.credentials);
  // 6 tokens of 2 processes at least, and a signature for each file and request to S3.
  expect(ear.credentials.size).toBeGreaterThan(10);

  const tables = await place.sql<{ name: string }>(
    `select quote_ident(schemaname) || '.' || quote_ident(tablename) as name from pg_tables
     where schemaname not in ('pg_catalog', 'information_schema')`,
  );
  expect(tables.map(({ name }) => name)).toEqual(
    expect.arrayContaining(['udm_sync.runs', 'udm_sync.files', 'udm_sync.history', 'udm_sync_queue.job']),
  );
  let rows = 0;
  for (const { name } of tables) {
    const found = await place.sql<{ text: string }>(`select t::text as text from ${name} t`);
    rows += found.length;
    for (const { text } of found) expect(leaks(text), name).toEqual([]);
  }
  expect(rows).toBeGreaterThan(50);

  const { region } = s3;
  const store = new S3Client({
    endpoint: s3.endpoint,
    region,
    credentials: { ...s3.credentials },
    forcePathStyle: true,
  });
  try {
    const { Contents: objects = [] } = await store.send(new ListObjectsV2Command({ Bucket: bucket }));
    expect(objects.map(({ Key }) => Key)).toContainEqual(expect.stringMatching(/_manifest\.json$/));
    expect(objects.length).toBeGreaterThanOrEqual(3);
    for (const { Key } of objects) {
      const head = await store.send(new HeadObjectCommand({ Bucket: bucket, Key }));
      const { Body } = await store.send(new GetObjectCommand({ Bucket: bucket, Key }));
      const text = `${Key ?? ''} ${JSON.stringify({ ...head, $metadata: undefined })} ${(await Body?.transformToString('latin1')) ?? ''}`;
      expect(leaks(text), Key).toEqual([]);
    }
  } finally {
    store.destroy();
  }

  for (const name of await readdir(place.folder, { recursive: true })) {
    const path = join(place.folder, name);
    // The config file is where the secrets are meant to be.
    if (name === 'udm-sync.yaml' || !(await stat(path)).isFile()) continue;
    expect(leaks(`${name} ${await readFile(path, 'latin1')}`), name).toEqual([]);
  }

  expect([...titles].join('')).toContain('main.ts');
  expect(leaks([...titles].join('\n'))).toEqual([]);
  expect(leaks(heard.join('\n'))).toEqual([]);
});
