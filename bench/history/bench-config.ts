import { loadConfig } from '../../src/config/load.ts';
import type { Config } from '../../src/config/config.ts';
import { definitionName, tenantName } from './fill.ts';

/** A config whose definitions are those that `fillHistory` makes runs of. Its upstream does not exist. */
export function benchConfig(
  url: string,
  counts: { definitions: number; tenants: number },
  start: Date | undefined,
): Promise<Config> {
  const tenant = {
    baseUrl: 'https://udm.invalid',
    apiKey: 'bench',
    auth: { grant: 'token', token: 'bench' },
  };
  const numbers = (n: number) => Array.from({ length: n }, (_, index) => index);
  const text = JSON.stringify({
    database: { url },
    tenants: Object.fromEntries(numbers(counts.tenants).map((n) => [tenantName(n), tenant])),
    sinks: { lake: { type: 's3', bucket: 'acme-genesys-exports', region: 'us-east-1' } },
    definitions: Object.fromEntries(
      numbers(counts.definitions).map((n) => [
        definitionName(n),
        {
          tenant: tenantName(n % counts.tenants),
          sink: 'lake',
          source: 'UCSX',
          type: 'contacts',
          schedule: { cron: '5 * * * *' },
          windows: { length: '1h', lag: '30m', ...(start ? { start: start.toISOString() } : {}) },
        },
      ]),
    ),
    log: { level: 'warn' },
  });
  return loadConfig({ text, env: {} });
}
