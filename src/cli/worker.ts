import { writeFile } from 'node:fs/promises';
import { sql } from 'drizzle-orm';
import { describeError } from '../errors.ts';
import { startWorker } from '../jobs/worker.ts';
import { createPulse } from '../metrics/pulse.ts';
import type { Pulse } from '../metrics/pulse.ts';
import { serveMetrics } from '../metrics/serve.ts';
import { startNotifier } from '../notify/notifier.ts';
import { exitCodes } from './exit-codes.ts';
import { openConfig } from './open-config.ts';
import type { GlobalOptions } from './open-config.ts';
import { openPage, pageByFlag } from './page.ts';
import type { PageFlag } from './page.ts';
import { inSession } from './session.ts';
import type { Session } from './session.ts';
import { onInterrupt } from './signals.ts';
import type { Interrupt } from './signals.ts';
import { packageVersion } from './version.ts';

const heartbeatMs = 10_000;

export interface WorkerOptions extends GlobalOptions, PageFlag {
  readonly healthFile: string;
}

/** `udm-sync worker`: plans by the schedules and works until SIGTERM or SIGINT. */
export async function workerCommand(options: WorkerOptions): Promise<number> {
  const { config, logger } = await openConfig(options, { to: 1 });
  const settings = pageByFlag(config, options) ?? config.page;
  const interrupt = onInterrupt();
  const needs = { working: true, patient: true, draining: interrupt.signal };
  try {
    await inSession(config, logger, needs, async (session) => {
      const page = await openPage(session, settings);
      await work(session, options.healthFile, interrupt).finally(() => page.close());
    });
  } catch (error) {
    // Asked to stop while it was still waiting for Postgres.
    if (!interrupt.signal.aborted) throw error;
    logger.info({ reason: describeError(error) }, 'stopped before it could work');
  } finally {
    interrupt.dispose();
  }
  return interrupt.received() === 'SIGINT' ? exitCodes.interrupted : exitCodes.done;
}

async function work(session: Session, healthFile: string, interrupt: Interrupt): Promise<void> {
  const { config, pipeline, url } = session;
  const pulse = createPulse();
  const version = packageVersion();
  const metrics =
    config.metrics.port === 0 ? undefined : await serveMetrics(pipeline, { url, version, pulse });
  try {
    await turn(session, healthFile, pulse, interrupt);
  } finally {
    await metrics?.close();
  }
}

async function turn(
  { config, logger, pipeline }: Session,
  healthFile: string,
  pulse: Pulse,
  interrupt: Interrupt,
): Promise<void> {
  const definitions = Object.values(config.definitions);
  const worker = await startWorker(pipeline, {
    schedules: definitions,
    keepHistoryMs: config.history.keepMs,
  });
  const notifier = startNotifier(pipeline);
  let beating = false;
  const beat = async () => {
    // A connection that hangs is no turn, and is not hidden by the turns after it.
    if (beating) return;
    beating = true;
    try {
      await pipeline.db.execute(sql`select 1`);
      await writeFile(healthFile, `${new Date().toISOString()}\n`);
    } catch (error) {
      logger.error({ reason: describeError(error) }, 'heartbeat failed');
    }
    beating = false;
    pulse.beat();
  };
  await beat();
  const timer = setInterval(() => void beat(), heartbeatMs);
  const scheduled = definitions.filter((definition) => definition.schedule).length;
  logger.info({ who: pipeline.who, definitions: definitions.length, scheduled }, 'worker is running');
  if (!interrupt.signal.aborted)
    await new Promise<void>((resolve) => interrupt.signal.addEventListener('abort', () => resolve()));
  logger.info({ signal: interrupt.received() }, 'stopping: finishing or handing back work under way');
  // The loop turns on meanwhile: a liveness probe must not cut it short.
  await worker.stop(config.worker.shutdownGraceMs);
  await notifier.stop();
  clearInterval(timer);
  logger.info('worker has stopped');
}
