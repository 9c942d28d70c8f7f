import { UdmSyncError, describeError } from '../errors.ts';
import type { File } from '../store/files.ts';
import { backoff } from './delays.ts';
import type { Bounds } from './delays.ts';
import { isSurroundings } from './settle.ts';

/** What becomes of a file whose transfer failed. */
export interface Verdict {
  readonly state: 'waiting' | 'dead' | 'lost';
  readonly attempts: number;
  readonly holdups: number;
  readonly reason: string;
  readonly delayMs: number;
}

/** Judges a failed transfer. Failures of the surroundings use up no attempt. Pure: `random` is in [0, 1). */
export function judge(
  file: Pick<File, 'attempts' | 'holdups' | 'expiresAt'>,
  error: unknown,
  retry: { readonly attempts: number } & Bounds,
  now: Date,
  random: number,
): Verdict {
  const surroundings = isSurroundings(error);
  const attempts = surroundings ? file.attempts : file.attempts + 1;
  const reason = describeError(error);
  const holdups = surroundings ? file.holdups + 1 : 0;
  const delayMs = backoff(attempts + holdups, retry, random);
  const verdict = { attempts, holdups, reason, delayMs };
  const code = error instanceof UdmSyncError ? error.code : '';
  // What a name stood for is gone for good once the name stands for something else.
  if (code === 'ERR_NAME_SHARED') return { ...verdict, state: 'lost' };
  // It has been tried more often than any other file.
  if (code === 'ERR_WORKER_DIES') return { ...verdict, state: 'dead' };
  const missing = code === 'ERR_FILE_MISSING' || code === 'ERR_PRESIGNED_NOT_FOUND';
  if (missing && (now > file.expiresAt || attempts >= retry.attempts)) return { ...verdict, state: 'lost' };
  if (attempts >= retry.attempts && !surroundings) return { ...verdict, state: 'dead' };
  return { ...verdict, state: 'waiting' };
}
