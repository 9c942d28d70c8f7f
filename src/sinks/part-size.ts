export const MiB = 1024 * 1024;

/** S3's limit on the parts of one multipart upload. */
export const maxParts = 10_000;
/** S3's least size of any part but the last, in bytes. */
export const minPartSize = 5 * MiB;
/** The largest part we send, in bytes. S3 takes 5 GiB, but a part is a buffer in memory. */
export const maxPartSize = 1024 * MiB;

const doubleEvery = 700;
/** A large object goes in about so many parts: each is a request, a row and a reason to wait. */
const parts = 1_000;

/**
 * Size in bytes of part `number` (from 1) of a multipart upload.
 *
 * With a known length every part but the last has the same size: the preferred one, or more (in whole MiB) where that
 * makes about 1,000 parts suffice without going beyond `most`, or as much as makes 10,000 suffice. With an unknown length the size doubles every 700 parts up to 1 GiB, which
 * reaches 5 TiB in 10,000 parts from any preferred size.
 *
 * @param preferred bytes, from `minPartSize` to `maxPartSize`
 * @param length bytes of the whole body, if the source announced it
 * @param most bytes that a part is let grow to for the sake of fewer parts; default: only what the limit demands
 */
export function partSize(number: number, preferred: number, length?: number, most = preferred): number {
  if (length === undefined)
    return Math.min(preferred * 2 ** Math.floor((number - 1) / doubleEvery), maxPartSize);
  const inMiB = (bytes: number) => Math.ceil(bytes / MiB) * MiB;
  const least = Math.ceil(length / maxParts);
  const fewer = Math.min(inMiB(length / parts), Math.floor(most / MiB) * MiB);
  return Math.max(preferred, least <= preferred ? 0 : inMiB(least), fewer);
}
