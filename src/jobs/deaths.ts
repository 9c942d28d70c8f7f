/** So many workers in a row that died with a batch are no accident any more. */
const suspicious = 3;
/** So many that died with one file alone are its fault. */
const mostDeaths = 10;

export interface Deaths {
  /** `apart`: put the files off, each by itself; `dead`: give the file up. */
  readonly verdict: 'copy' | 'apart' | 'dead';
  readonly deaths: number;
  /** What is held against the file when it is queued anew: nothing as long as it was one of many. */
  readonly carried: number;
}

/**
 * What to do with files whose worker has died, or was frozen until another took over, again and again: a file that
 * kills its worker must neither do so for ever nor take the files beside it with it.
 *
 * @param before deaths that are known of the file from batches before this one
 * @param now deaths since this batch was queued
 * @param files how many there are in the batch
 */
export function afterDeaths(before: number, now: number, files: number): Deaths {
  const deaths = before + now;
  const alone = files === 1;
  const verdict = alone && deaths >= mostDeaths ? 'dead' : now >= suspicious ? 'apart' : 'copy';
  return { verdict, deaths, carried: alone ? deaths : 0 };
}
