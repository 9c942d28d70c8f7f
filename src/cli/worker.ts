import { writeFile } from 'node:fs/promises';
import { sql } from 'drizzle-orm';
import { describeError } from '../errors.ts';
import { startWorker } from '../jobs/worker.ts';
import { defaultHealthFile } from './health.ts';
import { openConfig, openSession } from './session.ts';
import type { GlobalOptions } from './session.ts';
import { exitCodes } from './exit-codes.ts';
import { onInterrupt } from './signals.ts';

const heartbeatMs = 10_000;

/** `udm-sync worker`: plans by the schedules and works until SIGTERM or SIGINT. */
export async function workerCommand(options: GlobalOptions & { healthFile?: string }): Promise<number> {
  const { config, logger } = await openConfig(options, { to: 1 });
  const interrupt = onInterrupt();
  const session = await openSession(config, logger, { working: true, draining: interrupt.signal });
  const { pipeline } = session;
  const definitions = Object.values(config.definitions);
  try {
    const worker = await startWorker(pipeline, { schedules: definitions });
    const healthFile = options.healthFile ?? defaultHealthFile;
    const beat = async () => {
      try {
        await pipeline.db.execute(sql`select 1`);
        await writeFile(healthFile, `${new Date().toISOString()}\n`);
      } catch (error) {
        logger.error({ reason: describeError(error) }, 'heartbeat failed');
      }
    };
    await beat();
    const timer = setInterval(() => void beat(), heartbeatMs);
    const scheduled = definitions.filter((definition) => definition.schedule).length;
    logger.info({ who: pipeline.who, definitions: definitions.length, scheduled }, 'worker is running');
    if (!interrupt.signal.aborted)
      await new Promise<void>((resolve) => interrupt.signal.addEventListener('abort', () => resolve()));
    logger.info({ signal: interrupt.received() }, 'stopping: finishing or handing back work under way');
    clearInterval(timer);
    await worker.stop(config.worker.shutdownGraceMs);
    logger.info('worker has stopped');
  } finally {
    await session.close();
    interrupt.dispose();
  }
  return interrupt.received() === 'SIGINT' ? exitCodes.interrupted : exitCodes.done;
}
