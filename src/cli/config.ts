import { stringify } from 'yaml';
import { configJsonSchema } from '../config/json-schema.ts';
import { maskedConfig } from '../config/print.ts';
import { migrateDatabase } from '../store/migrate.ts';
import { exitCodes } from './exit-codes.ts';
import { print, printJson } from './output.ts';
import { openConfig, openPostgres } from './session.ts';
import type { GlobalOptions } from './session.ts';

/** `udm-sync config print`: the configuration as it is used, secrets masked. */
export async function configPrintCommand(options: GlobalOptions): Promise<number> {
  const { config } = await openConfig(options, { to: 2, level: 'error' });
  if (options.json) printJson(maskedConfig(config));
  else process.stdout.write(stringify(maskedConfig(config)));
  return exitCodes.done;
}

/** `udm-sync config schema`: JSON Schema of the config file, for editors. */
export function configSchemaCommand(): number {
  printJson(configJsonSchema());
  return exitCodes.done;
}

/** `udm-sync migrate`: brings the database to this version. Any number may run at once. */
export async function migrateCommand(options: GlobalOptions): Promise<number> {
  const { config, logger } = await openConfig(options, { to: 2, level: 'error' });
  const postgres = await openPostgres(config, logger);
  try {
    const { applied } = await migrateDatabase(postgres.url);
    if (options.json) printJson({ applied });
    else print(applied === 0 ? 'The database is up to date.' : `Applied ${applied} migrations.`);
    return exitCodes.done;
  } finally {
    await postgres.close();
  }
}
