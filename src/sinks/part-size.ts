export const MiB = 1024 * 1024;

/** S3's limit on the parts of one multipart upload. */
export const maxParts = 10_000;
/** S3's least size of any part but the last, in bytes. */
export const minPartSize = 5 * MiB;
/** The largest part we send, in bytes. S3 takes 5 GiB, but a part is a buffer in memory. */
export const maxPartSize = 1024 * MiB;

const doubleEvery = 700;

/**
 * Size in bytes of part `number` (from 1) of a multipart upload.
 *
 * With a known length every part but the last has the same size: the preferred one, or as much more (in whole
 * MiB) as makes 10,000 parts suffice. With an unknown length the size doubles every 700 parts up to 1 GiB, which
 * reaches 5 TiB in 10,000 parts from any preferred size.
 *
 * @param preferred bytes, from `minPartSize` to `maxPartSize`
 * @param length bytes of the whole body, if the source announced it
 */
export function partSize(number: number, preferred: number, length?: number): number {
  if (length === undefined)
    return Math.min(preferred * 2 ** Math.floor((number - 1) / doubleEvery), maxPartSize);
  const least = Math.ceil(length / maxParts);
  return least <= preferred ? preferred : Math.ceil(least / MiB) * MiB;
}
