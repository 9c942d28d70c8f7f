import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { describeError, UsageError } from '../../src/errors.ts';
import { loadConfig } from '../../src/config/load.ts';
import { load, mistakes, now, refused, yamlWith } from './fixture.ts';

describe('each mistake has its path and says what is allowed', () => {
  test.each([
    ['tenants', undefined, 'tenants', /is required/],
    ['tenants', {}, 'tenants', /at least one/],
    ['sinks', [], 'sinks', /mapping of names to sinks/],
    ['retention/criticalAt', '11d', 'retention.criticalAt', /shorter than warnAt, which is 10d/],
    ['retention/warnAt', '3d', 'retention.criticalAt', /shorter than warnAt/],
    ['retention/keepFor', '10d', 'retention.warnAt', /shorter than keepFor, which is 10d/],
    ['retention/keepFor', '400d', 'retention.keepFor', /1h to 365d/],
    ['wrker', {}, 'wrker', /did you mean worker/],
    ['nonsense', 1, 'nonsense', /known are database, tenants/],
    ['tenants/acme/apikey', 'x', 'tenants.acme.apikey', /did you mean apiKey/],
    ['tenants/acme/apiKey', undefined, 'tenants.acme.apiKey', /is required.*apiKeyFile/],
    ['tenants/acme/apiKey', 123, 'tenants.acme.apiKey', /in quotes/],
    ['tenants/acme/apiKey', '', 'tenants.acme.apiKey', /must be the API key/],
    ['tenants/acme/apiKey', null, 'tenants.acme.apiKey', /is empty/],
    ['tenants/acme', 'text', 'tenants.acme', /must be a mapping/],
    ['tenants/acme/baseUrl', 'http://gapi.example.com', 'tenants.acme.baseUrl', /https/],
    ['tenants/acme/baseUrl', 'gapi.example.com', 'tenants.acme.baseUrl', /https/],
    ['tenants/acme/baseUrl', 'https://u:p@gapi.example.com', 'tenants.acme.baseUrl', /without credentials/],
    ['tenants/acme/baseUrl', 'https://gapi.example.com/udm', 'tenants.acme.baseUrl', /\/udm/],
    ['tenants/acme/baseUrl', 'http://127.0.0.1.example.com', 'tenants.acme.baseUrl', /loopback/],
    ['tenants/acme/auth', undefined, 'tenants.acme.auth', /is required/],
    [
      'tenants/acme/auth/grant',
      'magic',
      'tenants.acme.auth.grant',
      /password, client_credentials, refresh_token, token/,
    ],
    ['tenants/acme/auth/token', 'x', 'tenants.acme.auth.token', /does not go with/],
    ['tenants/acme/auth/username', undefined, 'tenants.acme.auth.username', /is required/],
    ['tenants/acme/limits/exports', 0, 'tenants.acme.limits.exports', /from 1 to/],
    ['tenants/acme/limits/exports', 1.5, 'tenants.acme.limits.exports', /whole number/],
    ['tenants/acme/requestTimeout', 30, 'tenants.acme.requestTimeout', /such as 30s/],
    ['tenants/acme/dateFormat', 'ISO', 'tenants.acme.dateFormat', /single quotes/],
    ['tenants/acme/dateFormat', 'yyyy-MM-dd', 'tenants.acme.dateFormat', /read back exactly/],
    ['tenants/acme/dateFormat', 'yyyy-MM-dd hh:mm', 'tenants.acme.dateFormat', /read back exactly/],
    ['tenants/acme/statusWords/done', ['x'], 'tenants.acme.statusWords.done', /known are completed/],
    ['tenants/acme/statusWords/failed', 7, 'tenants.acme.statusWords.failed', /a list/],
    [
      'tenants/acme/download/allowedHosts',
      ['https://a.b/c'],
      'tenants.acme.download.allowedHosts',
      /without scheme/,
    ],
    ['tenants/Acme!', {}, 'tenants.Acme!', /name that is not allowed/],
    ['sinks/lake/type', 'ftp', 'sinks.lake.type', /s3, filesystem/],
    ['sinks/lake/directory', '/x', 'sinks.lake.directory', /does not go with/],
    ['sinks/lake/bucket', 's3://exports/x', 'sinks.lake.bucket', /without s3/],
    ['sinks/lake/prefix', 'a//b', 'sinks.lake.prefix', /folders/],
    ['sinks/lake/endpoint', 'minio:9000', 'sinks.lake.endpoint', /https?:\/\//],
    ['sinks/lake/partSize', '1MiB', 'sinks.lake.partSize', /5MiB to 1GiB/],
    ['sinks/lake/accessKeyId', 'x', 'sinks.lake.secretAccessKey', /beside accessKeyId/],
    ['sinks/lake/secretAccessKey', 'x', 'sinks.lake.accessKeyId', /beside secretAccessKey/],
    ['sinks/lake/sessionToken', 'x', 'sinks.lake.sessionToken', /needs accessKeyId/],
    ['sinks/lake/sse', { type: 'AES256', kmsKeyId: 'k' }, 'sinks.lake.sse.kmsKeyId', /does not go with/],
    ['sinks/lake/expectedBucketOwner', 123, 'sinks.lake.expectedBucketOwner', /12 digits, in quotes/],
    ['sinks/lake/verify', 'never', 'sinks.lake.verify', /head, read/],
    ['definitions/hourly/tenant', 'acne', 'definitions.hourly.tenant', /did you mean acme/],
    ['definitions/hourly/tenant', 'zzzzzz', 'definitions.hourly.tenant', /known are acme/],
    ['definitions/hourly/sink', 'lke', 'definitions.hourly.sink', /did you mean lake/],
    ['definitions/hourly/source', undefined, 'definitions.hourly.source', /is required/],
    ['definitions/hourly/media', [], 'definitions.hourly.media', /a list of media/],
    ['definitions/hourly/media', ['voice', 'voice'], 'definitions.hourly.media', /a list of media/],
    ['definitions/hourly/attachments', 'yes', 'definitions.hourly.attachments', /true or false/],
    ['definitions/hourly/fileSplitSize', '1k', 'definitions.hourly.fileSplitSize', /whole number/],
    [
      'definitions/hourly/schedule',
      { cron: '0 0 30 2 *' },
      'definitions.hourly.schedule.cron',
      /impossible day/,
    ],
    [
      'definitions/hourly/schedule',
      { cron: '0 0 29 2 1#1' },
      'definitions.hourly.schedule.cron',
      /never fires/,
    ],
    ['definitions/hourly/schedule', { cron: '* * *' }, 'definitions.hourly.schedule.cron', /5 fields, or 6/],
    ['definitions/hourly/schedule', {}, 'definitions.hourly.schedule.cron', /is required/],
    [
      'definitions/hourly/schedule',
      { cron: '5 * * * *', timeZone: 'Mars/X' },
      'definitions.hourly.schedule.timeZone',
      /IANA/,
    ],
    ['definitions/hourly/windows/length', '7m', 'definitions.hourly.windows.length', /divides a day/],
    ['definitions/hourly/windows/length', '25h', 'definitions.hourly.windows.length', /whole days/],
    ['definitions/hourly/windows/length', '90s', 'definitions.hourly.windows.length', /whole minutes/],
    ['definitions/hourly/windows/length', '32d', 'definitions.hourly.windows.length', /31d/],
    ['definitions/hourly/windows/length', '0m', 'definitions.hourly.windows.length', /divides a day/],
    ['definitions/hourly/windows/lag', '-1m', 'definitions.hourly.windows.lag', /from 0s/],
    ['definitions/hourly/windows/start', '2026-02-30', 'definitions.hourly.windows.start', /ISO 8601/],
    ['definitions/hourly/windows/start', 'yesterday', 'definitions.hourly.windows.start', /ISO 8601/],
    [
      'definitions/hourly/windows/start',
      '2026-06-01T00:00:01Z',
      'definitions.hourly.windows.start',
      /in the future/,
    ],
    ['definitions/hourly/windows/catchUp', 0, 'definitions.hourly.windows.catchUp', /from 1/],
    [
      'definitions/hourly/key',
      '{definition}/{from}/{fil}',
      'definitions.hourly.key',
      /unknown placeholder \{fil\}/,
    ],
    [
      'definitions/hourly/key',
      '{definition}/{from:yyyyMMdd}/{file}',
      'definitions.hourly.key',
      /folder of its own/,
    ],
    [
      'definitions/hourly/key',
      '{definition}/{from:HHmm}/{file}',
      'definitions.hourly.key',
      /folder of its own/,
    ],
    [
      'definitions/hourly/key',
      '{definition}/{from:yyyyMMddhh}/{file}',
      'definitions.hourly.key',
      /folder of its own/,
    ],
    [
      'definitions/hourly/key',
      '{definition}/{from:MMddHH}/{file}',
      'definitions.hourly.key',
      /folder of its own/,
    ],
    [
      'definitions/hourly/key',
      `${'x/'.repeat(450)}{definition}/{from}/{file}`,
      'definitions.hourly.key',
      /1024 bytes/,
    ],
    [
      'definitions/hourly/delete',
      'all',
      'definitions.hourly.delete',
      /files, files-and-history, files-and-job, nothing/,
    ],
    ['definitions/hourly/maxExportDuration', '0s', 'definitions.hourly.maxExportDuration', /from 1s/],
    [
      'definitions/hourly/retry/minDelay',
      '2h',
      'definitions.hourly.retry.minDelay',
      /not be longer than maxDelay, which is 30m/,
    ],
    [
      'definitions/-x',
      { tenant: 'acme', sink: 'lake', source: 's', type: 't' },
      'definitions.-x',
      /name that is not allowed/,
    ],
    ['worker/poll', { min: '5m' }, 'worker.poll.min', /not be longer than max/],
    ['worker/poll/min', '1ms', 'worker.poll.min', /from 10ms/],
    ['database/url', 'mysql://h/d', 'database.url', /postgres:\/\//],
    ['database/poolSize', 'many', 'database.poolSize', /whole number/],
    ['history', { keep: '39d' }, 'history.keep', /from 40d to 3650d/],
    ['log/level', 'loud', 'log.level', /trace, debug/],
  ])('%s: %j', async (setting, value, path, message) => {
    const error = await refused(load({ [setting]: value }));
    const issue = error.issues.find(
      (candidate) => candidate.path === path && message.test(candidate.message),
    );
    expect(issue, error.message).toBeDefined();
  });

  test('details are kept for longer than the vendor keeps files', async () => {
    const found = await mistakes({ retention: { keepFor: '60d' }, history: { keep: '69d' } });
    expect(found).toEqual([
      expect.stringMatching(/history\.keep.*ten days longer than retention\.keepFor, which is 60d/),
    ]);
    expect(await load({ retention: { keepFor: '60d' }, history: { keep: '70d' } })).toMatchObject({
      history: { keepMs: 70 * 86_400_000 },
    });
  });

  test.each([
    ['1m', '{definition}/{from:yyyyMMddhhmm}/{file}'],
    ['1w', '{definition}/{from:yyyy-WW}/{file}'],
    ['1d', '{definition}/{from:MM-dd}/{file}'],
  ])('windows of %s may not share the folders of %s', async (length, key) => {
    const found = await mistakes({ 'definitions/hourly/windows': { length }, 'definitions/hourly/key': key });
    expect(found).toEqual([expect.stringContaining('a folder of its own')]);
  });

  test('a key that stands twice', async () => {
    const text = yamlWith().replace('definitions:\n', 'definitions:\n  hourly: {}\n');
    const error = await refused(loadConfig({ text, env: {}, now }));
    expect(error.issues).toEqual([
      {
        path: 'definitions.hourly',
        message: 'stands there twice; keep one',
        line: text.split('\n').indexOf('  hourly:') + 1,
      },
    ]);
  });
});

test('all mistakes are reported together, each once, in the order of the file, with line and value', async () => {
  const text = `tenants:
  acme:
    baseUrl: http://example.com
    apikey: hush
    auth: { grant: magic }
sinks:
  lake: { type: s3, bucket: exports, partSize: 1MiB }
definitions:
  a: { tenant: acne, sink: lake, source: UCSX, type: contacts, windows: { length: 7m, start: 2999-01-01 } }
  b:
    tenant: acme
    sink: lake
    type: \${NOT_SET}
    key: "{definition}/{from:yyyy}/{file}"
lgo: {}
`;
  const error = await refused(
    loadConfig({ text, env: { UDM_SYNC_LOG__FORMAT: 'xml', UDM_SYNC_NOTHING: 'x' }, now }),
  );
  expect(
    error.issues.map(({ line, path, variable, value }) => [line ?? variable ?? '', path, value ?? '']),
  ).toEqual([
    [2, 'tenants.acme.apiKey', ''],
    [3, 'tenants.acme.baseUrl', '"http://example.com"'],
    [4, 'tenants.acme.apikey', ''],
    [5, 'tenants.acme.auth.grant', '"magic"'],
    [7, 'sinks.lake.partSize', '"1MiB"'],
    [9, 'definitions.a.windows.length', '"7m"'],
    [9, 'definitions.a.tenant', '"acne"'],
    [9, 'definitions.a.windows.start', '"2999-01-01"'],
    [10, 'definitions.b.source', ''],
    [13, 'definitions.b.type', '${NOT_SET}'],
    [14, 'definitions.b.key', '"{definition}/{from:yyyy}/{file}"'],
    [15, 'lgo', ''],
    ['UDM_SYNC_LOG__FORMAT', 'log.format', '"xml"'],
    ['', 'UDM_SYNC_NOTHING', ''],
  ]);
  expect(error).toBeInstanceOf(UsageError);
  expect(error.code).toBe('ERR_CONFIG');
  expect(error.message).toMatch(/^14 mistakes in the configuration \(udm-sync\.yaml\):\n {2}- line 2: /);
  for (const issue of error.issues) expect(error.message).toContain(issue.path);
  expect(describeError(error)).toContain('docs/configuration.md');
});

describe('secrets are never shown', () => {
  const secret = 'hush';
  const everywhere = (error: Error) =>
    [
      error.message,
      inspect(error, { depth: 10, showHidden: true }),
      JSON.stringify(error),
      describeError(error),
    ].join('\n');

  test.each([
    [
      'in every secret setting, beside mistakes everywhere',
      { 'sinks/lake/type': 'ftp', 'log/level': 'loud' },
      {},
    ],
    ['as a number', { 'tenants/acme/apiKey': 'ok', 'tenants/acme/auth/password': ['hush-in-a-list'] }, {}],
    ['under a mistyped name', { 'tenants/acme/apikey': 'hush', 'tenants/acme/auth/pasword': 'hush' }, {}],
    ['in place of a section', { 'tenants/acme/auth': 'hush' }, {}],
    ['in a connection string', { 'database/url': 'mysql://u:hush@h/d' }, {}],
    ['in a variable for a secret', {}, { UDM_SYNC_DATABASE__URL: 'hush' }],
    ['in a variable of an unknown name', {}, { UDM_SYNC_TENANTS__ACME__APIKEE: 'hush' }],
    ['in a variable of a file', {}, { UDM_SYNC_TENANTS__ACME__API_KEY_FILE: 'hush' }],
    ['with a slash in a variable of a file', {}, { UDM_SYNC_TENANTS__ACME__API_KEY_FILE: 'aGk/hush' }],
    ['in a setting for a file', { 'tenants/acme/apiKey': undefined, 'tenants/acme/apiKeyFile': 'hush' }, {}],
    ['in a variable that another setting refers to', { 'tenants/acme/baseUrl': '${K}' }, { K: 'hush' }],
    ['in a variable that a date format refers to', { 'tenants/acme/dateFormat': '${K}' }, { K: 'bhushT' }],
    [
      'in a variable that a cron refers to',
      { 'definitions/hourly/schedule': { cron: '${K} * * * *' } },
      { K: 'hush' },
    ],
    ['in a variable that a key refers to', { 'definitions/hourly/key': '{${K}}' }, { K: 'hush' }],
  ])('%s', async (_, changes, env) => {
    expect(everywhere(await refused(load(changes, env)))).not.toContain(secret);
  });

  test.each(['a: "\\qhush"', 'a: }hush', 'a: !hush x', 'a: *hush', 'a: |hush\n x', 'a: "hush', 'a: [hush'])(
    'in YAML that is not valid: %j',
    async (text) => expect(everywhere(await refused(loadConfig({ text, env: {} })))).not.toContain(secret),
  );

  test('and no mistake is lost by that', async () => {
    expect(await mistakes({ 'tenants/acme/dateFormat': '${K}' }, { K: 'bogus' })).toEqual([
      expect.stringMatching(/^tenants\.acme\.dateFormat: is not allowed once its references are replaced/),
    ]);
  });
});
