import { configJsonSchema } from '../config/json-schema.ts';
import type { Config } from '../config/config.ts';
import { loadConfig } from '../config/load.ts';
import { UdmSyncError } from '../errors.ts';
import { createLogger } from '../log.ts';
import type { Logger } from '../log.ts';
import { openPipeline } from '../jobs/pipeline.ts';
import type { OpenPipeline } from '../jobs/pipeline.ts';
import { openDatabase } from '../store/database.ts';
import { otherSessions } from '../store/sessions.ts';
import { startEmbeddedPostgres } from '../store/embedded-postgres.ts';
import { migrateDatabase, pendingMigrations } from '../store/migrate.ts';

/** Options every command takes. */
export interface GlobalOptions {
  readonly config?: string;
  readonly json?: boolean;
}

export interface DatabaseSession {
  readonly config: Config;
  readonly logger: Logger;
  readonly url: string;
  /** Stops the embedded Postgres if this process started it and nobody else uses it. */
  close(): Promise<void>;
}

export interface Session extends DatabaseSession {
  readonly pipeline: OpenPipeline;
}

export { configJsonSchema };

/** Reads the config file. Command results go to stdout, so there the log goes to stderr. */
export async function openConfig(
  options: GlobalOptions,
  log: { to: 1 | 2; level?: string },
): Promise<{ config: Config; logger: Logger }> {
  const config = await loadConfig({ path: options.config, env: process.env });
  const logger = createLogger(log.level ?? config.log.level, config.log.format, log.to);
  return { config, logger };
}

/** Finds Postgres: `database.url`, or the embedded one, started if need be. */
export async function openPostgres(config: Config, logger: Logger): Promise<DatabaseSession> {
  if (config.database.url !== undefined)
    return { config, logger, url: config.database.url, close: () => Promise.resolve() };
  const server = await startEmbeddedPostgres({ dataDir: config.database.dataDir, logger });
  return {
    config,
    logger,
    url: server.url,
    async close() {
      if (server.started && (await otherSessions(server.url)) === 0) await server.stop();
    },
  };
}

/**
 * Opens everything a command on the pipeline needs, and closes what it opened when something on the way fails.
 *
 * @param working true for commands that claim work themselves
 */
export async function openSession(
  config: Config,
  logger: Logger,
  options: { working: boolean; draining?: AbortSignal },
): Promise<Session> {
  const postgres = await openPostgres(config, logger);
  try {
    await makeReady(config, postgres);
    const draining = options.draining ?? new AbortController().signal;
    const pipeline = await openPipeline({
      config,
      url: postgres.url,
      logger,
      draining,
      working: options.working,
    });
    return {
      ...postgres,
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

/** Brings the schema up to date, or says that it is not. The embedded server is ours alone: it is always migrated. */
async function makeReady(config: Config, { url, logger }: DatabaseSession): Promise<void> {
  if (config.database.migrate || config.database.url === undefined) {
    // One short look first: most starts have nothing to do and need no lock.
    (await openDatabase(url, 1, logger)).close().catch(() => undefined);
    const { applied } = await migrateDatabase(url);
    if (applied > 0) logger.info({ applied }, 'the database schema was brought up to date');
    return;
  }
  const pending = await pendingMigrations(url);
  if (pending > 0)
    throw new UdmSyncError('ERR_MIGRATIONS', `The database lacks ${pending} migrations of this version.`, {
      hint: 'Run: udm-sync migrate (or set database.migrate: true).',
    });
}
