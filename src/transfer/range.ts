import { setTimeout as delay } from 'node:timers/promises';
import { UdmSyncError } from '../errors.ts';
import type { Download } from '../udm/types.ts';
import { stretchBytes } from './bandwidth.ts';
import type { Bandwidth } from './bandwidth.ts';
import type { Source } from './source.ts';

/** Reads of one range that fail without progress, one after the other, before the transfer fails. */
const barrenReads = 4;
const firstPauseMs = 200;

export interface RangeReader {
  readonly source: Source;
  /** The source's ETag: every read is pinned to it. */
  readonly etag: string;
  readonly bandwidth: Bandwidth | undefined;
  readonly signal: AbortSignal;
}

/**
 * Fills the buffer from byte `start` of the file, going on at the byte after every break that made progress.
 *
 * @param first an answer that is open already and begins at `start`
 * @throws UdmSyncError ERR_PRESIGNED_CHANGED when the file has changed, ERR_RANGE_IGNORED when the source does not
 *   serve the range, or what the last attempt failed with
 */
export async function readRange(
  reader: RangeReader,
  start: number,
  buffer: Buffer,
  first?: Download,
): Promise<void> {
  const { source, etag, signal } = reader;
  let got = 0;
  let barren = 0;
  let open = first;
  const count = (bytes: number) => (got += bytes);
  for (;;) {
    const before = got;
    try {
      const download =
        open ??
        (await source.open({ start: start + got, end: start + buffer.length - 1, ifMatch: etag, signal }));
      try {
        if (!open) checkRange(download, etag, buffer.length - got);
        open = undefined;
        await fill(download, buffer.subarray(got), reader, count);
      } finally {
        download.destroy();
      }
      return;
    } catch (error) {
      open = undefined;
      signal.throwIfAborted();
      if (got === buffer.length) return;
      if (!(error instanceof UdmSyncError) || !error.retryable || isHopeless(error)) throw error;
      // A few bytes and then silence is no progress: it could go on for days.
      barren = got > before && error.code !== 'ERR_DOWNLOAD_STALLED' ? 0 : barren + 1;
      if (barren >= barrenReads) throw error;
      await delay(firstPauseMs * 2 ** barren * (0.5 + Math.random()), undefined, { signal });
    }
  }
}

/** Fills the buffer from an answer; under a bandwidth limit in stretches, each when it is its turn. */
export async function fill(
  download: Download,
  buffer: Buffer,
  { bandwidth, signal }: Pick<RangeReader, 'bandwidth' | 'signal'>,
  onBytes?: (bytes: number) => void,
): Promise<void> {
  if (!bandwidth) {
    await download.fill(buffer, onBytes);
    return;
  }
  for (let at = 0; at < buffer.length; at += stretchBytes) {
    const stretch = buffer.subarray(at, at + stretchBytes);
    await bandwidth.wait(stretch.length, signal);
    await download.fill(stretch, onBytes);
  }
}

/** What reading on cannot mend: the file, or the source, is not what it was taken for. */
function isHopeless(error: UdmSyncError): boolean {
  return error.code === 'ERR_PRESIGNED_CHANGED' || error.code === 'ERR_RANGE_IGNORED';
}

function checkRange(download: Download, etag: string, bytes: number): void {
  // An answer that says it carries more than the range is not the range, whatever its head claims.
  if (download.status !== 206 || (download.length ?? bytes) > bytes)
    throw new UdmSyncError('ERR_RANGE_IGNORED', 'The upstream answered a range with something else.', {
      retryable: true,
    });
  // A source that ignores If-Match still says what it serves.
  if (download.etag !== undefined && download.etag !== etag)
    throw new UdmSyncError('ERR_PRESIGNED_CHANGED', 'The file has changed upstream while it was read.', {
      retryable: true,
    });
}
