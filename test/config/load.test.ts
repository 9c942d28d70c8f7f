import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { defaultKeyTemplate } from '../../src/config/key-template.ts';
import { loadConfig } from '../../src/config/load.ts';
import { load, mistakes, now, refused, yamlWith } from './fixture.ts';

let folder: string;
const file = (name: string) => join(folder, name);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'udm-sync-config-'));
  await writeFile(file('key'), 'from-a-file\n');
  await writeFile(file('empty'), '\n');
});
afterAll(() => rm(folder, { recursive: true }));

describe('a correct file', () => {
  test('is completed with defaults, in ms and bytes', async () => {
    const config = await load();
    expect(config).toMatchObject({
      database: { poolSize: 10, migrate: true },
      tenants: {
        acme: {
          name: 'acme',
          limits: { requestsPerSecond: 5, exports: 3, transfers: 16 },
          requestTimeoutMs: 30_000,
          dateFormat: 'iso',
          statusWords: { completed: [], failed: [], cancelled: [], running: [], waiting: [] },
          download: { allowedHosts: [], allowPrivateAddresses: false },
        },
      },
      sinks: {
        lake: {
          name: 'lake',
          prefix: '',
          forcePathStyle: false,
          partSizeBytes: 8_388_608,
          concurrency: 8,
          signPayload: 'auto',
          verify: 'head',
        },
        disk: { name: 'disk', directory: '/data', verify: 'read' },
      },
      definitions: {
        hourly: {
          name: 'hourly',
          attachments: false,
          windows: { lengthMs: 3_600_000, lagMs: 900_000, catchUp: 24 },
          key: defaultKeyTemplate,
          delete: 'files',
          maxExportDurationMs: 21_600_000,
          retry: { attempts: 5, minDelayMs: 30_000, maxDelayMs: 1_800_000 },
        },
      },
      worker: {
        exports: 8,
        transfers: 4,
        shutdownGraceMs: 25_000,
        poll: { minMs: 5000, maxMs: 120_000 },
        createSettleMs: 30_000,
        collectSettleMs: 10_000,
      },
      retention: { keepForMs: 2_592_000_000, warnAtMs: 864_000_000, criticalAtMs: 259_200_000 },
      history: {},
      log: { level: 'info', format: 'auto' },
    });
    expect(config.database).not.toHaveProperty('url');
    expect(config.definitions['hourly']).not.toHaveProperty('schedule');
  });

  test.each([
    ['tenants/acme/baseUrl', 'https://gapi.example.com/', 'https://gapi.example.com'],
    ['tenants/acme/baseUrl', 'http://127.0.0.1:8080', 'http://127.0.0.1:8080'],
    ['tenants/acme/baseUrl', 'http://[::1]:8080', 'http://[::1]:8080'],
    ['tenants/acme/baseUrl', 'http://localhost', 'http://localhost'],
    ['sinks/lake/prefix', '/a/b/', 'a/b'],
    ['sinks/lake/expectedBucketOwner', '012345678901', '012345678901'],
    ['definitions/hourly/fileSplitSize', 1024, '1024'],
    ['definitions/hourly/fileSplitSize', '1024', '1024'],
    ['definitions/hourly/windows/start', '2026-01-01', new Date('2026-01-01T00:00:00Z')],
    ['definitions/hourly/windows/start', '2026-01-01T06:00', new Date('2026-01-01T06:00:00Z')],
    ['definitions/hourly/windows/start', '2026-01-01T06:00:00+02:00', new Date('2026-01-01T04:00:00Z')],
    ['tenants/acme/dateFormat', 'yyyy-MM-dd HH:mm:ss', 'yyyy-MM-dd HH:mm:ss'],
    ['tenants/acme/dateFormat', 'epoch-ms', 'epoch-ms'],
    ['tenants/acme/dateFormat', 'iso-millis', 'iso-millis'],
    ['tenants/acme/dateFormat', 'X', 'X'],
    ['database/poolSize', '20', 20],
    ['history', { keep: '400d' }, { keepMs: 400 * 86_400_000 }],
    ['history', { keep: '40d' }, { keepMs: 40 * 86_400_000 }],
    [
      'tenants/acme/download/allowedHosts',
      ['*.amazonaws.com', 'files.example'],
      ['*.amazonaws.com', 'files.example'],
    ],
  ])('%s: %j', async (path, given, expected) => {
    expect(await load({ [path]: given })).toHaveProperty(path.split('/'), expected);
  });

  test('a section without lines means its defaults', async () => {
    const config = await loadConfig({ text: `${yamlWith()}worker:\nlog:\n`, env: {}, now });
    expect(config.worker.exports).toBe(8);
  });

  test('one folder a day suffices for windows of a day', async () => {
    const key = '{definition}/{from:yyyy}/{from:MM}/{from:dd}/{file}';
    await load({ 'definitions/hourly/key': key, 'definitions/hourly/windows': { length: '1d' } });
    await load({ 'tenants/acme/dateFormat': 'yyyy-MM-dd', 'definitions/hourly/windows': { length: '1w' } });
  });
});

describe('references', () => {
  const name = (text: string, env: NodeJS.ProcessEnv) => load({ 'definitions/hourly/type': text }, env);

  test.each([
    ['${A}', 'x'],
    ['pre-${A}-${B}', 'pre-x-y'],
    ['${C:-z}', 'z'],
    ['${EMPTY:-z}', 'z'],
    ['${A:-z}', 'x'],
    ['${C:-}w', 'w'],
    ['$${A}', '${A}'],
    ['$A', '$A'],
  ])('%s', async (text, expected) => {
    const config = await name(text, { A: 'x', B: 'y', EMPTY: '' });
    expect(config.definitions['hourly']?.type).toBe(expected);
  });

  test('what a variable holds is not looked into again', async () => {
    expect((await name('${A}', { A: '${B}', B: 'y' })).definitions['hourly']?.type).toBe('${B}');
  });

  test.each(['${NOT_SET}', '${EMPTY}', 'a${NOT_SET}b'])('%s is a mistake', async (text) => {
    const error = await refused(name(text, { EMPTY: '' }));
    expect(error.issues).toHaveLength(1);
    expect(error.issues[0]?.path).toBe('definitions.hourly.type');
    expect(error.issues[0]?.message).toMatch(/NOT_SET|EMPTY/);
  });

  test.each(['${', '${A', '${1}', '${A B}'])('%s is a mistake too', async (text) => {
    expect((await refused(name(text, { A: 'x' }))).issues).toMatchObject([
      { path: 'definitions.hourly.type' },
    ]);
  });

  test('numbers, flags and lists can come from variables', async () => {
    const config = await load(
      { 'worker/exports': '${N}', 'database/migrate': '${F}', 'definitions/hourly/media': '${L}' },
      { N: '3', F: 'false', L: 'voice, email' },
    );
    expect(config.worker.exports).toBe(3);
    expect(config.database.migrate).toBe(false);
    expect(config.definitions['hourly']?.media).toEqual(['voice', 'email']);
  });
});

describe('the environment', () => {
  test.each([
    ['UDM_SYNC_LOG__LEVEL', 'debug', 'log/level', 'debug'],
    ['UDM_SYNC_log__level', 'debug', 'log/level', 'debug'],
    ['LOG_LEVEL', 'debug', 'log/level', 'debug'],
    ['DATABASE_URL', 'postgres://u:p@h/d', 'database/url', 'postgres://u:p@h/d'],
    ['UDM_SYNC_TENANTS__ACME__API_KEY', 'other', 'tenants/acme/apiKey', 'other'],
    ['UDM_SYNC_TENANTS__ACME__APIKEY', '${not a reference}', 'tenants/acme/apiKey', '${not a reference}'],
    [
      'UDM_SYNC_TENANTS__ACME__LIMITS__REQUESTS_PER_SECOND',
      '0.5',
      'tenants/acme/limits/requestsPerSecond',
      0.5,
    ],
    ['UDM_SYNC_DEFINITIONS__HOURLY__MEDIA', 'voice,email', 'definitions/hourly/media', ['voice', 'email']],
    ['UDM_SYNC_SINKS__DISK__DIRECTORY', '/elsewhere', 'sinks/disk/directory', '/elsewhere'],
    ['UDM_SYNC_WORKER__POLL__MIN', '1s', 'worker/poll/minMs', 1000],
  ])('%s=%s', async (variable, value, path, expected) => {
    expect(await load({}, { [variable]: value })).toHaveProperty(path.split('/'), expected);
  });

  test('names with - and _ are found without them', async () => {
    const config = await load(
      { 'sinks/big-disk_2': { type: 'filesystem', directory: '/a' } },
      { UDM_SYNC_SINKS__BIG_DISK_2__DIRECTORY: '/b' },
    );
    expect(config.sinks['big-disk_2']).toMatchObject({ directory: '/b' });
  });

  test('_FILE reads a file, without the newline at its end', async () => {
    const config = await load(
      {},
      { UDM_SYNC_TENANTS__ACME__API_KEY_FILE: file('key'), UDM_SYNC_LOG__FORMAT: '' },
    );
    expect(config.tenants['acme']?.apiKey).toBe('from-a-file');
    await writeFile(file('url'), 'postgres://u:p@h/d\r\n');
    expect((await load({}, { DATABASE_URL_FILE: file('url') })).database.url).toBe('postgres://u:p@h/d');
  });

  test('it replaces what the file says, references and files included', async () => {
    const env = { UDM_SYNC_TENANTS__ACME__API_KEY: 'env' };
    expect((await load({ 'tenants/acme/apiKey': '${NOT_SET}' }, env)).tenants['acme']?.apiKey).toBe('env');
    const changes = { 'tenants/acme/apiKey': undefined, 'tenants/acme/apiKeyFile': '/nowhere' };
    expect((await load(changes, env)).tenants['acme']?.apiKey).toBe('env');
  });

  test('variables that are none of ours are left alone', async () => {
    await load(
      {},
      {
        UDM_SYNC_CONFIG: 'x',
        UDM_SYNC_TEST_ANYTHING: 'x',
        UDM_SYNC_SERVICE_HOST: '10.0.0.1',
        UDM_SYNC_SERVICE_PORT_METRICS: '9090',
        UDM_SYNC_WORKER_PORT_9090_TCP_ADDR: '10.0.0.1',
        LOG_LEVEL_FILE: 'x',
        UDM_API_KEY: 'x',
      },
    );
  });

  test.each([
    ['UDM_SYNC_LOG__LEVL', 'x', /levl — did you mean level\?/],
    ['UDM_SYNC_LOGS__LEVEL', 'x', /called logs — did you mean log\?/],
    ['UDM_SYNC_NONSENSE', 'x', /called nonsense; known are database, tenants/],
    ['UDM_SYNC_TENANTS__OTHER__API_KEY', 'x', /called other; known are acme/],
    ['UDM_SYNC_LOG', 'x', /a section/],
    ['UDM_SYNC_LOG__LEVEL__X', 'x', /log\.level has no parts/],
    ['UDM_SYNC_TENANTS__ACME__API_KEY_FILE', '/nowhere/key', /the file \/nowhere\/key, which does not exist/],
    ['UDM_SYNC_TENANTS__ACME__API_KEY_FILE', '/', /is a directory/],
    ['DATABASE_URL_FILE', '/nowhere/url', /does not exist/],
  ])('%s=%s is a mistake', async (variable, value, message) => {
    const error = await refused(load({}, { [variable]: value }));
    expect(error.issues).toHaveLength(1);
    expect(error.issues[0]?.path).toBe(variable);
    expect(error.issues[0]?.message).toMatch(message);
  });

  test('two variables for one setting are a mistake', async () => {
    expect(await mistakes({}, { LOG_LEVEL: 'info', UDM_SYNC_LOG__LEVEL: 'debug' })).toEqual([
      'UDM_SYNC_LOG__LEVEL: sets log.level, as LOG_LEVEL does; keep one',
    ]);
    const pair = { DATABASE_URL: 'postgres://h/d', DATABASE_URL_FILE: file('key') };
    expect(await mistakes({}, pair)).toEqual([
      'DATABASE_URL_FILE: sets database.url, as DATABASE_URL does; keep one',
    ]);
  });

  test('a wrong value names its variable', async () => {
    const error = await refused(load({}, { LOG_LEVEL: 'loud' }));
    expect(error.issues).toEqual([
      {
        path: 'log.level',
        variable: 'LOG_LEVEL',
        value: '"loud"',
        message: 'must be one of trace, debug, info, warn, error, fatal, silent',
      },
    ]);
  });

  test('a name that could mean two entries is a mistake', async () => {
    const sink = { type: 'filesystem', directory: '/a' };
    const found = await mistakes(
      { 'sinks/a-b': sink, 'sinks/a_b': sink },
      { UDM_SYNC_SINKS__AB__DIRECTORY: '/c' },
    );
    expect(found).toEqual([expect.stringMatching(/could mean a-b or a_b/)]);
  });
});

describe('secrets from files named in the YAML', () => {
  const changes = (path: string) => ({ 'tenants/acme/apiKey': undefined, 'tenants/acme/apiKeyFile': path });

  test('are read', async () => {
    expect((await load(changes(file('key')))).tenants['acme']?.apiKey).toBe('from-a-file');
    const config = await load(
      {
        'tenants/acme/auth/password': undefined,
        'tenants/acme/auth/passwordFile': '${DIR}/key',
      },
      { DIR: folder },
    );
    expect(config.tenants['acme']?.auth).toMatchObject({ password: 'from-a-file' });
  });

  test('that cannot be read are one mistake each', async () => {
    expect(await mistakes(changes('/nowhere/key'))).toEqual([
      'tenants.acme.apiKeyFile: names the file /nowhere/key, which does not exist',
    ]);
    expect(await mistakes(changes(file('empty')))).toEqual([expect.stringMatching(/which is empty$/)]);
  });

  test('may not stand beside the secret itself', async () => {
    expect(await mistakes({ 'tenants/acme/apiKeyFile': file('key') })).toEqual([
      'tenants.acme.apiKeyFile: stands beside apiKey; keep one',
    ]);
  });
});

describe('the file itself', () => {
  test('that does not exist says how to name another', async () => {
    const error = await refused(loadConfig({ path: '/nowhere/udm-sync.yaml', env: {} }));
    expect(error.code).toBe('ERR_CONFIG');
    expect(error.hint).toContain('--config');
    expect(error.message).toContain('/nowhere/udm-sync.yaml does not exist');
    expect((await refused(loadConfig({ env: { UDM_SYNC_CONFIG: '/nowhere/b.yaml' } }))).message).toContain(
      '/nowhere/b.yaml',
    );
  });

  test('that is a directory', async () => {
    expect((await refused(loadConfig({ path: folder, env: {} }))).message).toContain('is a directory');
  });

  test.runIf(process.getuid?.() !== 0)('that may not be read', async () => {
    await writeFile(file('locked'), 'x: 1', { mode: 0 });
    expect((await refused(loadConfig({ path: file('locked'), env: {} }))).message).toContain('may not read');
  });

  test.each([
    ['', 'is empty'],
    ['# only a comment\n', 'is empty'],
    ['just text', 'must be a mapping'],
    ['- a\n- b\n', 'must be a mapping'],
    ['a: [1, 2', 'line 1: YAML is not valid'],
    ['a:\n\t- b', 'line 2: YAML is not valid: Tabs'],
    ['a: 1\n---\nb: 1\n', 'YAML is not valid'],
    ['a: *nobody\n', 'alias'],
    ['a: "tenant\\user"\n', 'single quotes'],
    ['a: !tag x\n', 'YAML is not valid: Unresolved tag'],
  ])('%j', async (text, message) => {
    const error = await refused(loadConfig({ text, env: {}, now }));
    expect(error.message).toContain(message);
  });
});
