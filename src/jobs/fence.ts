import { LostClaimError, claimMs } from '../queue/queue.ts';
import type { Claim } from '../queue/queue.ts';
import { transact } from '../store/database.ts';
import type { Pipeline } from './context.ts';

/**
 * Renews the claim, for what cannot be taken back.
 *
 * @returns throws LostClaimError once so much time has passed that another worker may hold the claim. Call it right
 *   before the request is sent: a process that was frozen in between goes on there, before any timer or answer of its
 *   own can tell it that it was replaced
 * @throws LostClaimError when another worker holds it already
 */
export async function fence(pipeline: Pipeline, claim: Claim<unknown>): Promise<() => void> {
  // The monotonic clock: it runs on while the process is stopped, and nobody sets it.
  const sureUntil = performance.now() + claimMs;
  await transact(pipeline.db, (tx) => pipeline.queue.renew(tx, claim));
  return () => {
    if (performance.now() >= sureUntil) throw new LostClaimError();
  };
}
