import { migrateDatabase } from '../store/migrate.ts';
import { exitCodes } from './exit-codes.ts';
import { openConfig } from './open-config.ts';
import type { GlobalOptions } from './open-config.ts';
import { counted, print, printJson } from './output.ts';
import { openPostgres } from './session.ts';

/** `udm-sync migrate`: brings the database to this version. Any number may run at once. */
export async function migrateCommand(options: GlobalOptions): Promise<number> {
  const { config, logger } = await openConfig(options, { to: 2, level: 'error' });
  const postgres = await openPostgres(config, logger);
  try {
    const { applied } = await migrateDatabase(postgres.url);
    if (options.json) printJson({ applied });
    else print(applied === 0 ? 'The database is up to date.' : `Applied ${counted(applied, 'migration')}.`);
    return exitCodes.done;
  } finally {
    await postgres.close();
  }
}
