import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { crc32 } from 'node:zlib';
import type { Config } from '../config/config.ts';
import { UdmSyncError } from '../errors.ts';
import { proveStored } from '../sinks/verify.ts';
import type { Sink } from '../sinks/sink.ts';
import type { UdmClient } from '../udm/types.ts';
import { isAdopted, outcomeOf } from './adopt.ts';
import type { AdoptingDefinition } from './adopt.ts';
import { isOurTitle } from './marker.ts';
import { extraWords } from './upstream-job.ts';

/** The only folder in a sink that udm-sync removes objects from. */
const probeFolder = '_udm-sync/doctor';

/** Writes, reads back and removes a small object: the permissions a transfer needs. */
export async function checkSink(sink: Sink, signal?: AbortSignal): Promise<void> {
  const body = randomBytes(64);
  const key = `${probeFolder}/${randomBytes(8).toString('hex')}`;
  try {
    await sink.put(key, Readable.from([body]), {
      length: body.length,
      contentType: 'application/octet-stream',
      ...(signal ? { signal } : {}),
    });
  } catch (error) {
    // It may lie there all the same, if only the answer was lost. What the put failed with says more.
    await sink.remove(key).catch(() => undefined);
    throw error;
  }
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

/**
 * A title that matches nothing collects nothing, silently: says how many history entries and jobs upstream a definition
 * adopts. GET /v10/export/history and /v10/export/jobs, all pages.
 *
 * @throws UdmSyncError `ERR_NOTHING_TO_ADOPT`
 */
export async function checkAdopted(
  config: Config,
  definition: AdoptingDefinition,
  upstream: UdmClient,
): Promise<string> {
  const titles = new Set<string>();
  const counts = { completed: 0, failed: 0, cancelled: 0, unfinished: 0 };
  const words = extraWords(config, definition.tenant);
  for await (const entry of upstream.listHistory()) {
    if (entry.title !== undefined && !isOurTitle(entry.title)) titles.add(entry.title);
    if (isAdopted(definition, entry)) counts[outcomeOf(entry, words) ?? 'unfinished'] += 1;
  }
  const entries = counts.completed + counts.failed + counts.cancelled + counts.unfinished;
  if (entries > 0)
    return `${entries} history entries match: ${counts.completed} completed, ${counts.failed} failed, ${counts.cancelled} cancelled, ${counts.unfinished} unfinished`;
  for await (const job of upstream.listJobs()) {
    if (job.title !== undefined && !isOurTitle(job.title)) titles.add(job.title);
    if (isAdopted(definition, job))
      return `the job "${job.title ?? ''}" matches; it has no history entry yet`;
  }
  const shown = [...titles].slice(0, 10).map((title) => `"${title}"`);
  throw new UdmSyncError(
    'ERR_NOTHING_TO_ADOPT',
    `No job and no history entry upstream has this title, source ${definition.source} and type ${definition.type}.`,
    {
      hint: `Correct adopt.title (case counts), source or type. Titles upstream: ${shown.join(', ') || 'none'}.`,
    },
  );
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
