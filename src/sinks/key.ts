import { SinkError } from './errors.ts';

const longestShown = 120;

/** The key as it may appear in a message: quoted, escaped and cut. */
function shown(key: string): string {
  return JSON.stringify(key.length > longestShown ? `${key.slice(0, longestShown)}…` : key);
}

/** The error for a key that this sink cannot take. */
export function keyError(key: string, why: string, cause?: unknown): SinkError {
  return new SinkError('ERR_KEY', `The key ${shown(key)} ${why}.`, {
    cause,
    hint: 'Change the key template of the export definition.',
  });
}

/**
 * Refuses what no sink takes: an empty key, a leading or trailing `/`, an empty, `.` or `..` segment, a control
 * character, text that is not well-formed Unicode.
 *
 * @throws {SinkError} `ERR_KEY`
 */
export function checkKey(key: string): void {
  if (key === '') throw keyError(key, 'is empty');
  if (!key.isWellFormed()) throw keyError(key, 'is not well-formed Unicode');
  if (/\p{Cc}/u.test(key)) throw keyError(key, 'holds a control character');
  for (const segment of key.split('/')) {
    if (segment === '') throw keyError(key, 'begins or ends with "/" or holds "//"');
    if (segment === '.' || segment === '..') throw keyError(key, `holds a "${segment}" segment`);
  }
}
