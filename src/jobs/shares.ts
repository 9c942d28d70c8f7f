import type { Config } from '../config/config.ts';

/** What each tenant has of a process, so that none can take it from another. Pure. */

/** The tenants that a definition exports from, by name. */
export function tenantsAtWork(config: Config): string[] {
  return [...new Set(Object.values(config.definitions).map((definition) => definition.tenant))].sort();
}

/**
 * Bytes that the transfers of one tenant may hold together.
 *
 * @param total bytes of all tenants
 */
export function memoryOfTenant(config: Config, total: number): number {
  return Math.max(1, Math.floor(total / Math.max(1, tenantsAtWork(config).length)));
}
