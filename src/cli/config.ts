import { stringify } from 'yaml';
import { configJsonSchema } from '../config/json-schema.ts';
import { maskedConfig } from '../config/print.ts';
import { exitCodes } from './exit-codes.ts';
import { printJson } from './output.ts';
import { dataDirectory, openConfig } from './open-config.ts';
import type { GlobalOptions } from './open-config.ts';

/** `udm-sync config print`: the configuration as it is used, secrets masked. */
export async function configPrintCommand(options: GlobalOptions): Promise<number> {
  const { config } = await openConfig(options, { to: 2, level: 'error' });
  const embedded = config.database.url === undefined ? { dataDir: dataDirectory(config) } : {};
  const shown = maskedConfig({ ...config, database: { ...config.database, ...embedded } });
  if (options.json) printJson(shown);
  else process.stdout.write(stringify(shown));
  return exitCodes.done;
}

/** `udm-sync config schema`: JSON Schema of the config file, for editors. */
export function configSchemaCommand(): number {
  printJson(configJsonSchema());
  return exitCodes.done;
}
