import { describeError } from '../errors.ts';
import type { Pipeline } from './context.ts';
import { prune } from './prune.ts';

const dayMs = 86_400_000;

/**
 * What a worker does at each of its ticks about old details: prunes at the first one, and then a day after each time it
 * has worked. Replicas may all do so: each takes other runs.
 *
 * @param keepMs at least what `shortestKeepMs` says
 */
export function pruneDaily(pipeline: Pipeline, keepMs: number, signal: AbortSignal): () => Promise<void> {
  const { logger } = pipeline;
  let dueAt = performance.now();
  return async () => {
    if (performance.now() < dueAt) return;
    try {
      const { runs, files, lines, before } = await prune(pipeline, keepMs, signal);
      dueAt = performance.now() + dayMs;
      if (runs > 0) logger.info({ runs, files, lines, before }, 'pruned the details of old runs');
    } catch (error) {
      logger.error({ reason: describeError(error) }, 'pruning failed; the next tick tries again');
    }
  };
}
