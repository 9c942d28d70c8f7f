import type { Config } from './config.ts';
import { nodeAt } from './shape.ts';
import { isMapping } from './tree.ts';

const mask = '***';

/** The configuration as plain JSON values, for people: secrets are `***`, and so is a database URL's password. */
export function maskedConfig(config: Config): Record<string, unknown> {
  const masked = maskBelow({ ...config }, []);
  return isMapping(masked) ? masked : {};
}

function maskBelow(value: unknown, path: readonly PropertyKey[]): unknown {
  if (value instanceof Date) return value.toISOString();
  if (Array.isArray(value)) return value.map((item: unknown, index) => maskBelow(item, [...path, index]));
  if (isMapping(value))
    return Object.fromEntries(
      Object.entries(value).map(([key, child]) => [key, maskBelow(child, [...path, key])]),
    );
  if (typeof value !== 'string' || nodeAt(path)?.writeOnly !== true) return value;
  return path[0] === 'database' && path[1] === 'url' ? maskDatabaseUrl(value) : mask;
}

/** A connection string without what it keeps secret, in the authority or in the query. */
export function maskDatabaseUrl(text: string): string {
  if (!URL.canParse(text)) return mask;
  const url = new URL(text);
  if (url.password) url.password = mask;
  for (const name of [...url.searchParams.keys()])
    if (/password/i.test(name)) url.searchParams.set(name, mask);
  return url.toString();
}
