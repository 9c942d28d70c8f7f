import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { crc32 } from 'node:zlib';
import { UdmSyncError } from '../errors.ts';
import { proveStored } from '../sinks/verify.ts';
import type { Sink } from '../sinks/sink.ts';
import type { UdmClient } from '../udm/types.ts';

/** The only folder in a sink that udm-sync removes objects from. */
const probeFolder = '_udm-sync/doctor';

/** Writes, reads back and removes a small object: the permissions a transfer needs. */
export async function checkSink(sink: Sink, signal?: AbortSignal): Promise<void> {
  const body = randomBytes(64);
  const key = `${probeFolder}/${randomBytes(8).toString('hex')}`;
  await sink.put(key, Readable.from([body]), {
    length: body.length,
    contentType: 'application/octet-stream',
    ...(signal ? { signal } : {}),
  });
  try {
    await proveStored(sink, key, { bytes: body.length, crc32: crc32(body) }, 'read', signal);
  } finally {
    await sink.remove(key);
  }
}

/** Token, API key and access, by the cheapest call that needs all three. */
export async function checkUpstream(upstream: UdmClient, signal?: AbortSignal): Promise<void> {
  await upstream.checkToken(signal);
  await upstream.listSources(signal);
}

/** Without a certificate the upstream refuses every export. */
export async function checkCertificate(upstream: UdmClient, tenant: string): Promise<string> {
  const certificate = await upstream.getCipher();
  if (!certificate)
    throw new UdmSyncError(
      'ERR_CERTIFICATE',
      'No encryption certificate has been uploaded for this tenant.',
      {
        hint: `Upload one with: udm-sync cipher upload <certificate.pem> ${tenant}. Without it every export fails.`,
      },
    );
  return certificate.name ?? certificate.ccid ?? 'present';
}
