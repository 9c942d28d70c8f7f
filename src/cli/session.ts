import { DrizzleQueryError } from 'drizzle-orm';
import pRetry from 'p-retry';
import type { Config } from '../config/config.ts';
import { UdmSyncError, describeError } from '../errors.ts';
import { openPipeline } from '../jobs/pipeline.ts';
import type { OpenPipeline } from '../jobs/pipeline.ts';
import type { Logger } from '../log.ts';
import { databaseError } from '../store/database.ts';
import { startEmbeddedPostgres } from '../store/embedded-postgres.ts';
import { migrateDatabase, pendingMigrations } from '../store/migrate.ts';
import { comeIn } from '../store/presence.ts';
import { dataDirectory } from './open-config.ts';
import { counted } from './output.ts';
import { startTraces } from './traces.ts';

export interface DatabaseSession {
  readonly url: string;
  /** Stops the embedded Postgres if nobody else uses it. */
  close(): Promise<void>;
}

export interface Session extends DatabaseSession {
  readonly config: Config;
  readonly logger: Logger;
  readonly pipeline: OpenPipeline;
}

export interface SessionOptions {
  /** True for commands that claim work themselves. */
  readonly working: boolean;
  /** Aborted when the process is to stop. */
  readonly draining?: AbortSignal;
  /** Waits about half a minute for a Postgres that is not there yet: containers start in any order. */
  readonly patient?: boolean;
}

/** Finds Postgres: `database.url`, or the embedded one, started if need be. */
export async function openPostgres(config: Config, logger: Logger): Promise<DatabaseSession> {
  const { url } = config.database;
  if (url !== undefined) return { url, close: () => Promise.resolve() };
  // Its last user may be stopping it at this moment: then it is started again.
  return pRetry(
    async () => {
      const server = await startEmbeddedPostgres({ dataDir: dataDirectory(config), logger });
      const presence = await comeIn(server.url);
      return { url: server.url, close: () => presence.leave(() => server.stop()) };
    },
    {
      retries: 10,
      minTimeout: 100,
      maxTimeout: 1000,
      shouldRetry: ({ error }) => !(error instanceof UdmSyncError),
    },
  );
}

/** Opens everything a command on the pipeline needs, and closes what it opened when something on the way fails. */
export async function openSession(config: Config, logger: Logger, options: SessionOptions): Promise<Session> {
  const draining = options.draining ?? new AbortController().signal;
  const postgres = await openPostgres(config, logger);
  try {
    const { working } = options;
    // Postgres may go away at any point of this, and whoever is patient begins again.
    const open = async () => {
      await makeReady(config, postgres.url, logger);
      return openPipeline({ config, url: postgres.url, logger, draining, working });
    };
    const pipeline = await (options.patient ? patiently(open, logger, draining) : open());
    return {
      config,
      logger,
      url: postgres.url,
      pipeline,
      async close() {
        await pipeline.close();
        await postgres.close();
      },
    };
  } catch (error) {
    await postgres.close();
    throw error;
  }
}

/** Does something in a session, and says in an operator's words when the database failed on the way. */
export async function inSession<T>(
  config: Config,
  logger: Logger,
  options: SessionOptions,
  action: (session: Session) => Promise<T>,
): Promise<T> {
  const traces = options.working ? await startTraces(process.env, logger) : undefined;
  const session = await openSession(config, logger, options);
  try {
    return await action(session);
  } catch (error) {
    throw error instanceof DrizzleQueryError ? databaseError(session.url, error) : error;
  } finally {
    await session.close();
    await traces?.stop();
  }
}

/** Waits 0.5, 1, 2, 4, 5, 5, 5, 5 s between looks. */
async function patiently(
  open: () => Promise<OpenPipeline>,
  logger: Logger,
  signal: AbortSignal,
): Promise<OpenPipeline> {
  let last: Promise<OpenPipeline> | undefined;
  const retried = pRetry(() => (last = open()), {
    retries: 8,
    minTimeout: 500,
    maxTimeout: 5000,
    signal,
    shouldRetry: ({ error, retriesLeft, retryDelay }) => {
      if (!(error instanceof UdmSyncError && error.retryable)) return false;
      logger.warn(
        { reason: describeError(error), retriesLeft, retryInMs: retryDelay },
        'Postgres is not ready; trying again',
      );
      return true;
    },
  });
  try {
    return await retried;
  } catch (error) {
    // The signal ends the waiting, not an attempt under way: what that opens would keep the process alive.
    if (signal.aborted)
      await last?.then(
        (pipeline) => pipeline.close(),
        () => undefined,
      );
    throw error;
  }
}

/** Brings the schema up to date, or says that it is not. The embedded server is ours alone: it is always migrated. */
async function makeReady(config: Config, url: string, logger: Logger): Promise<void> {
  if (config.database.migrate || config.database.url === undefined) {
    const { applied } = await migrateDatabase(url);
    if (applied > 0) logger.info({ applied }, 'the database schema was brought up to date');
    return;
  }
  const pending = await pendingMigrations(url);
  if (pending > 0)
    throw new UdmSyncError(
      'ERR_MIGRATIONS',
      `The database lacks ${counted(pending, 'migration')} of this version.`,
      {
        hint: 'Run: udm-sync migrate (or set database.migrate: true).',
      },
    );
}
