import type { Config } from '../config/config.ts';
import { loadConfig } from '../config/load.ts';
import { createLogger } from '../log.ts';
import type { Logger } from '../log.ts';
import { defaultEmbeddedPostgresDir } from '../store/embedded-postgres/directory.ts';

/** Options every command takes. */
export interface GlobalOptions {
  readonly config?: string;
  readonly json?: boolean;
}

/** Reads the config file. Command results go to stdout, so there the log goes to stderr. */
export async function openConfig(
  options: GlobalOptions,
  log: { to: 1 | 2; level?: string },
): Promise<{ config: Config; logger: Logger }> {
  const config = await loadConfig({ path: options.config, env: process.env });
  const logger = createLogger(log.level ?? config.log.level, config.log.format, log.to);
  return { config, logger };
}

/** Where the embedded Postgres keeps its data. */
export function dataDirectory(config: Config): string {
  return config.database.dataDir ?? defaultEmbeddedPostgresDir();
}
