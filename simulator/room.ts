import { once } from 'node:events';
import type { Writable } from 'node:stream';

/** Waits until more may be written, or nothing ever can be. */
export async function roomOrGone(writable: Writable): Promise<void> {
  if (writable.destroyed) return;
  const over = new AbortController();
  const { signal } = over;
  try {
    await Promise.race([once(writable, 'drain', { signal }), once(writable, 'close', { signal })]);
  } finally {
    over.abort();
  }
}
