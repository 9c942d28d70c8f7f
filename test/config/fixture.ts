import { stringify } from 'yaml';
import { ConfigError } from '../../src/config/config-error.ts';
import type { Config } from '../../src/config/config.ts';
import { loadConfig } from '../../src/config/load.ts';
import { withValue, withoutValue } from '../../src/config/tree.ts';

const base = {
  tenants: {
    acme: {
      baseUrl: 'https://gapi.example.com',
      apiKey: 'hush-key',
      auth: {
        grant: 'password',
        clientId: 'id',
        clientSecret: 'hush-client',
        username: 'acme\\joe',
        password: 'hush-pass',
      },
    },
  },
  sinks: { lake: { type: 's3', bucket: 'exports' }, disk: { type: 'filesystem', directory: '/data' } },
  definitions: { hourly: { tenant: 'acme', sink: 'lake', source: 'UCSX', type: 'contacts' } },
};

export const now = new Date('2026-06-01T00:00:00Z');

/** A correct configuration with some settings replaced (by `/`-separated path) or, if undefined, removed. */
export function yamlWith(changes: Readonly<Record<string, unknown>> = {}): string {
  const tree = Object.entries(changes).reduce<unknown>((kept, [path, value]) => {
    const keys = path.split('/');
    return value === undefined ? withoutValue(kept, keys) : withValue(kept, keys, value);
  }, base);
  return stringify(tree);
}

export function load(
  changes: Readonly<Record<string, unknown>> = {},
  env: NodeJS.ProcessEnv = {},
): Promise<Config> {
  return loadConfig({ text: yamlWith(changes), env, now });
}

/** The error of a configuration that must be refused. */
export async function refused(loading: Promise<Config>): Promise<ConfigError> {
  try {
    await loading;
  } catch (error) {
    if (error instanceof ConfigError) return error;
    throw error;
  }
  throw new Error('The configuration was accepted.');
}

/** `path: message` of every mistake. */
export async function mistakes(changes: Readonly<Record<string, unknown>>, env: NodeJS.ProcessEnv = {}) {
  const error = await refused(load(changes, env));
  return error.issues.map(({ path, message }) => `${path}: ${message}`);
}
