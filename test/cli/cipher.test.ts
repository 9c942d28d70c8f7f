import { X509Certificate, generateKeyPairSync } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ellipticCertificate, expiredCertificate, goodCertificate } from './certificates.ts';
import { makePlace } from './place.ts';
import type { Place } from './place.ts';

let place: Place;
beforeAll(async () => {
  place = await makePlace({ certificate: false });
});
afterAll(() => place[Symbol.asyncDispose]());

async function refused(file: string, message: string | RegExp) {
  const ended = await place.runWith(['cipher', 'upload', file]);
  expect(ended).toMatchObject({ code: 2, stdout: '' });
  expect(ended.stderr).toMatch(message);
}

test('what is no certificate is not sent', async () => {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  await writeFile(join(place.folder, 'key.pem'), privateKey.export({ type: 'pkcs8', format: 'pem' }));
  await writeFile(join(place.folder, 'key.der'), privateKey.export({ type: 'pkcs8', format: 'der' }));
  await writeFile(join(place.folder, 'text.pem'), 'Dear Genesys,\n');
  await Promise.all([
    refused(
      'key.pem',
      /^udm-sync: key\.pem holds a private key\. Upload the certificate alone, and keep the key to yourself\.\n$/,
    ),
    refused('key.der', /^udm-sync: key\.der is not an X\.509 certificate \(PEM or DER\): /),
    refused('text.pem', /^udm-sync: text\.pem is not an X\.509 certificate \(PEM or DER\): /),
    refused('nowhere.pem', /^udm-sync: nowhere\.pem cannot be read: ENOENT/),
    refused('.', /^udm-sync: \. cannot be read: EISDIR/),
  ]);
  expect(place.simulator.requests).toEqual([]);
});

test('a certificate that could not work is not sent', async () => {
  await writeFile(join(place.folder, 'elliptic.pem'), ellipticCertificate);
  await writeFile(join(place.folder, 'old.der'), new X509Certificate(expiredCertificate).raw);
  await Promise.all([
    refused('elliptic.pem', /^udm-sync: elliptic\.pem is a certificate for a ec key; UDM needs RSA\.\n$/),
    refused('old.der', /^udm-sync: old\.der expired on 2021-01-01T00:00:00Z\.\n$/),
  ]);
  expect(place.simulator.requests).toEqual([]);
});

test('PEM and DER are uploaded under their names and shown', async () => {
  await writeFile(join(place.folder, 'export, 2026 ü.pem'), goodCertificate);
  await writeFile(join(place.folder, 'export.der'), new X509Certificate(goodCertificate).raw);
  expect(await place.run('cipher show --json')).toEqual({ code: 1, stdout: 'null\n', stderr: '' });
  expect(await place.runWith(['cipher', 'upload', 'export, 2026 ü.pem'])).toEqual({
    code: 0,
    stdout:
      'Uploaded export, 2026 ü.pem. Exports made from now on can be opened with its private key only.\n',
    stderr: '',
  });
  expect(await place.run('cipher show acme')).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^export, 2026 ü\.pem, \d+ bytes, uploaded \S+Z, contact centre \S+\n$/),
  });
  expect(await place.run('cipher upload export.der acme --json')).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('"uploaded": "export.der"'),
  });
  const shown = await place.run('cipher show --json');
  expect(JSON.parse(shown.stdout)).toMatchObject({ name: 'export.der' });
});
