import { createHash } from 'node:crypto';
import { request } from 'node:http';
import { crc32 } from 'node:zlib';
import { expect, test } from 'vitest';
import { bytesOf, caller, containing, fetchReply, locate, pick, simulator, truth } from './support.ts';

const DAY = 86_400_000;

async function withFile(size: number, name = 'a.zip.smime', options: Parameters<typeof simulator>[0] = {}) {
  const sim = await simulator(options);
  sim.addFile({ name, size });
  const client = await caller(sim);
  return { sim, client, url: await locate(client, name) };
}

test('a file is a 303 to another host:port, and whole there', async () => {
  const { sim, url } = await withFile(3_000_000);
  expect(new URL(url).origin).toBe(sim.originUrl);
  expect(sim.originUrl).not.toBe(sim.baseUrl);
  const response = await fetch(url);
  const body = await bytesOf(response);
  const md5 = createHash('md5').update(body).digest('hex');
  expect(response.status).toBe(200);
  expect(Object.fromEntries(response.headers)).toMatchObject({
    'content-length': '3000000',
    'accept-ranges': 'bytes',
    etag: `"${md5}"`,
  });
  expect(body.toString('latin1', 0, 100)).toMatch(
    /^MIME-Version: 1\.0\nContent-Disposition: attachment; filename="smime\.p7m"\n/,
  );
  expect(await sim.fileDigest('a.zip.smime')).toEqual({
    size: 3_000_000,
    md5,
    crc32: crc32(body).toString(16).padStart(8, '0'),
    sha256: createHash('sha256').update(body).digest('hex'),
  });
});

test('ranges are cut from the same bytes, wherever they begin', async () => {
  const size = 5 * 1024 * 1024 + 17;
  const { sim, url } = await withFile(size);
  const whole = truth(sim, 'a.zip.smime');
  expect(whole.length).toBe(size);
  const block = 1024 * 1024;
  for (const [header, start, end] of [
    ['bytes=0-9', 0, 10],
    ['bytes=100-400', 100, 401],
    [`bytes=${block - 3}-${3 * block + 5}`, block - 3, 3 * block + 6],
    [`bytes=${size - 5}-`, size - 5, size],
    ['bytes=-7', size - 7, size],
    [`bytes=10-${size * 2}`, 10, size],
  ] as const) {
    const response = await fetch(url, { headers: { range: header } });
    expect(response.status).toBe(206);
    expect(response.headers.get('content-range')).toBe(`bytes ${start}-${end - 1}/${size}`);
    expect((await bytesOf(response)).equals(whole.subarray(start, end))).toBe(true);
  }
  const blocks = Array.from({ length: 5 }, (_, i) => whole.toString('latin1', i * block, (i + 1) * block));
  expect(new Set(blocks).size).toBe(5);
  expect(await fetchReply(url, { headers: { range: `bytes=${size}-` } })).toMatchObject({
    status: 416,
    text: containing('InvalidRange'),
  });
});

test('the bytes depend on seed, name and nothing else', async () => {
  const one = await withFile(200_000, 'same', { seed: 's' });
  const two = await withFile(200_000, 'same', { seed: 's' });
  const seed = await withFile(200_000, 'same', { seed: 't' });
  one.sim.addFile({ name: 'other', size: 200_000 });
  expect(truth(one.sim, 'same').equals(truth(two.sim, 'same'))).toBe(true);
  expect(truth(one.sim, 'same').equals(truth(seed.sim, 'same'))).toBe(false);
  expect(truth(one.sim, 'same').equals(truth(one.sim, 'other'))).toBe(false);
});

test('a large file has the ETag of a multipart upload and costs no memory', async () => {
  const { url } = await withFile(2 ** 40);
  const response = await fetch(url, { headers: { range: `bytes=${2 ** 39}-${2 ** 39 + 9}` } });
  expect((await bytesOf(response)).length).toBe(10);
  expect(response.headers.get('etag')).toMatch(/^"[0-9a-f]{32}-65536"$/);
});

test('a zero-byte file', async () => {
  const { url } = await withFile(0);
  expect(await fetchReply(url)).toMatchObject({ status: 200, text: '' });
  expect((await fetchReply(url, { headers: { range: 'bytes=0-' } })).status).toBe(416);
});

test.for(['with space.smime', 'a%2Fb+c.smime', 'dir/../up.smime', 'Übergröße-数据.smime', 'x'.repeat(1000)])(
  'the name %s survives both hops',
  async (name) => {
    const { sim, url } = await withFile(500, name);
    expect((await bytesOf(await fetch(url))).equals(truth(sim, name))).toBe(true);
  },
);

test('the origin refuses our credentials beside the signature', async () => {
  const { sim, url } = await withFile(10);
  for (const headers of [{ authorization: 'Bearer x' }, { 'x-api-key': 'x' }]) {
    expect(await fetchReply(url, { headers })).toMatchObject({
      status: 400,
      text: containing('InvalidArgument'),
    });
  }
  expect(sim.requests.slice(-2)).toMatchObject([
    { listener: 's3', hasAuthorization: true, hasApiKey: false, status: 400 },
    { listener: 's3', hasAuthorization: false, hasApiKey: true, status: 400 },
  ]);
});

test('the origin checks signature, method, expiry and existence', async () => {
  const { sim, client, url } = await withFile(10, 'a', { urlLifetime: 300 });
  sim.addFile({ name: 'b', size: 10 });
  const mismatch = { status: 403, text: containing('SignatureDoesNotMatch') };
  expect(await fetchReply(url.replace('/a?', '/b?'))).toMatchObject(mismatch);
  expect(await fetchReply(url.replace('Expires=300', 'Expires=3000'))).toMatchObject(mismatch);
  expect((await fetchReply(url, { method: 'HEAD' })).status).toBe(403);
  expect((await fetchReply(url.replace(/\?.*/, ''))).status).toBe(403);
  sim.clock.advance(300_000);
  expect((await fetchReply(url)).status).toBe(200);
  sim.clock.advance(1);
  expect(await fetchReply(url)).toMatchObject({
    status: 403,
    text: containing('Request has expired'),
  });
  const fresh = await locate(client, 'a');
  await client.call('DELETE', '/v10/files/a');
  expect(await fetchReply(fresh)).toMatchObject({ status: 404, text: containing('NoSuchKey') });
});

test('a download that has begun runs on after its URL expired and its file was deleted', async () => {
  const { sim, client, url } = await withFile(8_000_000);
  const wanted = truth(sim, 'a.zip.smime');
  const response = await fetch(url);
  sim.clock.advance(DAY);
  await client.call('DELETE', '/v10/files/a.zip.smime');
  expect((await bytesOf(response)).equals(wanted)).toBe(true);
});

test('If-Match, If-None-Match and If-Range', async () => {
  const { url } = await withFile(100);
  const etag = (await fetch(url)).headers.get('etag') ?? '';
  const status = async (headers: Record<string, string>) => (await fetchReply(url, { headers })).status;
  expect(await status({ 'if-match': etag })).toBe(200);
  expect(await status({ 'if-match': '"other"' })).toBe(412);
  expect(await status({ range: 'bytes=5-', 'if-match': '"other"' })).toBe(412);
  expect(await status({ 'if-none-match': etag })).toBe(304);
  expect(await status({ range: 'bytes=5-', 'if-range': etag })).toBe(206);
  expect(await status({ range: 'bytes=5-', 'if-range': '"other"' })).toBe(200);
});

test('a list of pre-signed URLs: at most 100, and all or the names of those missing', async () => {
  const { sim, client } = await withFile(10, 'a');
  sim.addFile({ name: 'b', size: 20 });
  const reply = await client.call('GET', '/v10/files?filename=a,b');
  const url = String(pick(reply.json, 'data', 'items', 1, 'url'));
  expect((await bytesOf(await fetch(url))).length).toBe(20);
  expect(await client.call('GET', '/v10/files?filename=a,c,b,d')).toMatchObject({
    status: 404,
    json: ['c', 'd'],
  });
  const many = (n: number) => Array.from({ length: n }, (_, i) => `f${i}`).join(',');
  expect((await client.call('GET', `/v10/files?filename=${many(101)}`)).status).toBe(400);
  expect((await client.call('GET', `/v10/files?filename=${many(100)}`)).status).toBe(404);
  expect((await client.call('DELETE', `/v10/files?filename=${many(101)}`)).status).toBe(400);
});

test('deleting: one, a list, and a list of which some are left', async () => {
  const { sim, client } = await withFile(1, 'a');
  for (const name of ['b', 'c', 'd']) sim.addFile({ name, size: 1 });
  expect((await client.call('DELETE', '/v10/files/a')).status).toBe(204);
  expect((await client.call('DELETE', '/v10/files/a')).status).toBe(404);
  sim.faults.add({ endpoint: 'DELETE /v10/files', kind: 'partial-delete', names: 'c', times: 1 });
  expect(await client.call('DELETE', '/v10/files?filename=b,c,d')).toMatchObject({
    status: 500,
    json: ['c'],
  });
  expect(sim.requests.at(-1)).toMatchObject({ deletedFiles: ['b', 'd'] });
  expect((await client.call('DELETE', '/v10/files?filename=a,c')).status).toBe(204);
  expect(sim.state().files.map((file) => file.deletedBy)).toEqual(['client', 'client', 'client', 'client']);
});

test('a list-delete can report names it does not know', async () => {
  const { client } = await withFile(1, 'a', { unknownInListDelete: 'report' });
  expect(await client.call('DELETE', '/v10/files?filename=a,gone')).toMatchObject({
    status: 500,
    json: ['gone'],
  });
});

test('the vendor deletes a file thirty days after it was made', async () => {
  const { sim, client } = await withFile(1, 'a');
  sim.clock.advance(30 * DAY - 1);
  const { token } = await caller(sim);
  const authorization = `Bearer ${token}`;
  expect((await client.call('GET', '/v10/files/a', undefined, { authorization })).status).toBe(303);
  sim.clock.advance(1);
  expect((await client.call('GET', '/v10/files/a', undefined, { authorization })).status).toBe(404);
  expect(sim.state().files).toMatchObject([{ deletedBy: 'vendor', deletedAt: '2026-02-14T00:00:00.000Z' }]);
});

test('a second file of the same name is other content, and the name stands for it', async () => {
  const { sim, url } = await withFile(1000, 'a');
  const first = await sim.fileDigest('a');
  sim.addFile({ name: 'a', size: 2000 });
  expect((await bytesOf(await fetch(url))).equals(truth(sim, 'a'))).toBe(true);
  expect(
    truth(sim, 'a', 200, 1000).equals(Buffer.concat([...sim.fileContent('a', 200, 1000, { generation: 1 })])),
  ).toBe(false);
  expect(await sim.fileDigest('a', { generation: 1 })).toEqual(first);
});

test('a client that goes away in the middle leaves the origin working', async () => {
  const { sim, url } = await withFile(200_000_000);
  await new Promise<void>((resolve, reject) => {
    request(url, (res) => {
      res.once('data', () => {
        res.destroy();
        resolve();
      });
    })
      .on('error', reject)
      .end();
  });
  await expect.poll(() => sim.requests.at(-1)?.outcome).toBe('client-gone');
  expect((await fetchReply(url, { headers: { range: 'bytes=0-9' } })).status).toBe(206);
});
