/** So many workers in a row that died with a batch are no accident any more. */
const suspicious = 3;
/** So many that died with one file alone are its fault. */
const mostDeaths = 10;

/**
 * What to do with files whose worker has died, or was frozen until another took over, again and again: a file that
 * kills its worker must neither do so for ever nor take the files beside it with it.
 *
 * @param before deaths that are known of the file from batches before this one
 * @param now deaths since this batch was queued
 * @param files how many there are in the batch
 * @returns `apart`: put them off, each by itself; `dead`: give the file up
 */
export function afterDeaths(before: number, now: number, files: number): 'copy' | 'apart' | 'dead' {
  if (files === 1 && before + now >= mostDeaths) return 'dead';
  return now >= suspicious ? 'apart' : 'copy';
}
