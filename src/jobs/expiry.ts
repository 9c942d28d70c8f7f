import type { RetentionConfig } from '../config/config.ts';
import { reached } from '../crash-points.ts';
import { databaseNow, transact } from '../store/database.ts';
import { raiseLevels } from '../store/expiry.ts';
import type { ExpiryBounds, RaisedGroup } from '../store/expiry.ts';
import { appendHistory } from '../store/history.ts';
import { runsById } from '../store/runs.ts';
import type { Pipeline } from './context.ts';
import { logFields } from './settle.ts';

/** Until when a file must expire to be worth a warning, or critical. */
export function expiryBounds({ warnAtMs, criticalAtMs }: RetentionConfig, now: Date): ExpiryBounds {
  return {
    warning: new Date(now.getTime() + warnAtMs),
    critical: new Date(now.getTime() + criticalAtMs),
  };
}

/**
 * Speaks of files that are not safe yet and come near the end of their time upstream: once for each run and level, in
 * its history, in the log and as an event.
 */
export async function raiseExpiring(pipeline: Pipeline): Promise<void> {
  const { db, config, who, logger, events } = pipeline;
  const raised = await transact(db, async (tx) => {
    const groups = await raiseLevels(tx, expiryBounds(config.retention, await databaseNow(tx)));
    const runs = await runsById(tx, [...new Set(groups.map(({ runId }) => runId))]);
    const found = runs.flatMap((run) =>
      groups.filter(({ runId }) => runId === run.id).map((group) => ({ run, group })),
    );
    await appendHistory(
      tx,
      found.map(({ run, group }) => ({
        runId: run.id,
        subject: 'run',
        from: run.state,
        to: run.state,
        who,
        reason: sayExpiry(group),
      })),
    );
    reached('before:note-expiry');
    return found;
  });
  reached('after:note-expiry');
  for (const { run, group } of raised) {
    const { level, files, bytes, soonest } = group;
    const more = {
      state: run.state,
      reason: run.reason,
      expiry: level,
      files,
      bytes,
      soonestExpiry: soonest,
    };
    const fields = logFields(run, more);
    if (level === 'critical')
      logger.error(fields, 'files will be deleted upstream soon and are not safe yet');
    else logger.warn(fields, 'files that are not safe yet come near the end of their time upstream');
    events.emit('event', { kind: 'expiry', run, level, files, bytes, soonest });
  }
}

function sayExpiry({ level, files, soonest }: RaisedGroup): string {
  const those = `${files} ${files === 1 ? 'file is' : 'files are'}`;
  return `${level}: ${those} not safe yet; the vendor deletes the first at ${soonest.toISOString()}`;
}
