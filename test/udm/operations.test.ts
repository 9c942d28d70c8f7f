import { expect, test } from 'vitest';
import type { ExportJobRequest, UdmClient } from '../../src/udm/types.ts';
import { all, clientOf, json, secrets, serve } from './support.ts';

const request: ExportJobRequest = {
  source: 'UCSX',
  type: 'INTERACTIONS',
  title: 'nightly',
  timeFrame: { all: false, dateFrom: '2026-01-01T00:00:00Z', dateTo: '2026-01-02T00:00:00Z' },
  schedulerParam: { immediately: true },
  jobParams: { fileSplitSize: '100' },
};

const operations: readonly [string, (client: UdmClient) => Promise<unknown>, ...string[]][] = [
  ['getCipher', (c) => c.getCipher(), 'GET /udm/v10/cipher'],
  [
    'uploadCipher',
    (c) => c.uploadCipher('my cert.pem', Buffer.from('PEM')),
    'POST /udm/v10/cipher/my%20cert.pem',
  ],
  ['listAttributes', (c) => c.listAttributes('contact'), 'GET /udm/v10/data/attributes?entities=contact'],
  ['listJobStatuses', (c) => c.listJobStatuses(), 'GET /udm/v10/data/job-statuses'],
  ['listSources', (c) => c.listSources(), 'GET /udm/v10/data/sources'],
  [
    'listSubTypes',
    (c) => c.listSubTypes({ dataType: 'a b', source: 'UCSX' }),
    'GET /udm/v10/data/sub-types?dataType=a%20b&source=UCSX',
  ],
  ['listTypes', (c) => c.listTypes('iWD'), 'GET /udm/v10/data/types?source=iWD'],
  [
    'listHistory',
    (c) =>
      all(c.listHistory({ jobId: '7', title: 't&x', status: 's', fileName: 'f', source: 'u', type: 'y' })),
    'GET /udm/v10/export/history?jobId=7&title=t%26x&status=s&fileName=f&source=u&type=y&orderField=createdDate&from=0&size=100',
  ],
  ['getHistory', (c) => c.getHistory('h/1'), 'GET /udm/v10/export/history/h%2F1'],
  ['getHistoryProgress', (c) => c.getHistoryProgress('h1'), 'GET /udm/v10/export/history/h1/progress'],
  ['deleteHistory', (c) => c.deleteHistory('h1'), 'DELETE /udm/v10/export/history/h1'],
  ['deleteHistoryList', (c) => c.deleteHistoryList(['1', '2']), 'DELETE /udm/v10/export/history?jobIDs=1,2'],
  [
    'listJobs',
    (c) => all(c.listJobs({ title: 'm', source: 's', type: 't', scheduleType: 'x', suspend: false })),
    'GET /udm/v10/export/jobs?title=m&source=s&type=t&scheduleType=x&suspend=false&orderField=createdDate&from=0&size=100',
  ],
  ['createJob', (c) => c.createJob(request), 'POST /udm/v10/export/jobs'],
  ['getJob', (c) => c.getJob('j1'), 'GET /udm/v10/export/jobs/j1'],
  ['updateJob', (c) => c.updateJob('j1', request), 'PUT /udm/v10/export/jobs/j1'],
  ['deleteJob', (c) => c.deleteJob('j1'), 'DELETE /udm/v10/export/jobs/j1'],
  ['deleteJobList', (c) => c.deleteJobList(['j1', 'j2', 'j1']), 'DELETE /udm/v10/export/jobs?jobIDs=j1,j2'],
  ['cancelJob', (c) => c.cancelJob('j1'), 'POST /udm/v10/export/jobs/cancel/j1'],
  ['suspendJob', (c) => c.suspendJob('j1'), 'POST /udm/v10/export/jobs/suspend/j1'],
  ['resumeJob', (c) => c.resumeJob('j1'), 'POST /udm/v10/export/jobs/resume/j1'],
  [
    'listFileMetadatas',
    (c) =>
      all(
        c.listFileMetadatas({
          historyId: 'h',
          jobTitle: 'j',
          name: 'n',
          source: 's',
          type: 't',
          startDate: 'a',
          endDate: 'b',
        }),
      ),
    'GET /udm/v10/file-metadatas?historyId=h&jobTitle=j&name=n&source=s&type=t&startDate=a&endDate=b&orderField=createdDate&from=0&size=100',
  ],
  [
    'presignFiles',
    (c) => c.presignFiles(['a+b.zip', 'ü.zip']),
    'GET /udm/v10/files?filename=a%2Bb.zip,%C3%BC.zip',
  ],
  ['locateFile', (c) => c.locateFile('50%/a.zip'), 'GET /udm/v10/files/50%25%2Fa.zip'],
  ['deleteFile', (c) => c.deleteFile('a b.zip'), 'DELETE /udm/v10/files/a%20b.zip'],
  ['deleteFiles', (c) => c.deleteFiles(['a.zip', 'b.zip']), 'DELETE /udm/v10/files?filename=a.zip,b.zip'],
  ['getLabels', (c) => c.getLabels(), 'GET /udm/v10/resources/labels'],
  ['getVersion', (c) => c.getVersion(), 'GET /udm/v10/version'],
];

test.each(operations)('%s asks for the right thing', async (name, run, ...expected) => {
  const server = await serve((request, response) => {
    const { method, path } = request;
    if (method === 'GET' && path === '/udm/v10/files')
      json(response, 200, { 'a+b.zip': 'https://s3.test/1?X=1', 'ü.zip': 'https://s3.test/2?X=1' });
    else if (method === 'GET' && path.startsWith('/udm/v10/files/'))
      response.writeHead(303, { location: 'https://s3.test/a.zip?X=1' }).end();
    else if (path.endsWith('/progress')) json(response, 200, 10);
    else if (/\/(history|jobs)\/[^/]+$/.test(path) && method === 'GET') json(response, 200, { id: 1 });
    else if (method === 'POST' && path.endsWith('/jobs')) json(response, 202, { id: 1 });
    else response.writeHead(method === 'POST' ? 201 : 204).end();
  });
  const client = clientOf(server.url);
  await run(client);
  expect(server.calls.map(({ method, target }) => `${method} ${target}`)).toEqual(expected);
  const [call] = server.calls;
  expect(call?.headers['x-api-key']).toBe(secrets.apiKey);
  // The version is the one thing that the reference gives without a token.
  expect(call?.headers.authorization).toBe(name === 'getVersion' ? undefined : 'Bearer token-1');
});

test('every operation of the client is in the table above', async () => {
  const server = await serve(() => undefined);
  const named = new Set([...operations.map(([name]) => name), 'download', 'checkToken', 'close']);
  expect(Object.keys(clientOf(server.url)).filter((name) => !named.has(name))).toEqual([]);
});

test('the certificate travels as the form field `file`', async () => {
  const server = await serve((_request, response) => response.writeHead(201).end());
  await clientOf(server.url).uploadCipher('cert.pem', Buffer.from('-----BEGIN CERTIFICATE-----'));
  const [call] = server.calls;
  expect(call?.headers['content-type']).toMatch(/^multipart\/form-data; boundary=/);
  expect(Number(call?.headers['content-length'])).toBe(call?.body.length);
  expect(call?.body).toContain('name="file"; filename="cert.pem"');
  expect(call?.body).toContain('-----BEGIN CERTIFICATE-----');
});

test('a job request travels as it was given', async () => {
  const server = await serve((_request, response) => json(response, 202, { id: 1 }));
  await clientOf(server.url).createJob(request);
  expect(JSON.parse(server.calls[0]?.body ?? '')).toEqual(request);
  expect(server.calls[0]?.headers['content-type']).toBe('application/json');
});

test('UDM path and authentication URL can be set', async () => {
  const server = await serve((_request, response) => json(response, 200, ['UCSX']));
  const client = clientOf(`${server.url}/gw/`, {
    udmPath: 'data-download/',
    authUrl: `${server.url}/auth/v3/`,
  });
  await client.listSources();
  expect(server.tokens).toHaveLength(1);
  expect(server.calls[0]?.target).toBe('/gw/data-download/v10/data/sources');
});
