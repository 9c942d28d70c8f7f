import { DateTime } from 'luxon';
import type { Config, DefinitionConfig } from '../config/config.ts';
import { nearest } from '../config/did-you-mean.ts';
import { parseDuration } from '../config/duration.ts';
import { UsageError } from '../errors.ts';

/** An instant from a flag: an ISO date (midnight UTC) or date and time; UTC unless it says otherwise. */
export function instantOf(flag: string, value: string): Date {
  const parsed = DateTime.fromISO(value, { zone: 'utc' });
  if (!parsed.isValid)
    throw new UsageError(
      `${flag} is "${value}"; it must be a date (2026-01-31) or a date and time (2026-01-31T08:00:00Z), in UTC unless it says otherwise.`,
    );
  return parsed.toJSDate();
}

/** A duration from a flag, in ms. */
export function durationOf(flag: string, value: string): number {
  const ms = parseDuration(value);
  if (ms === undefined || ms <= 0)
    throw new UsageError(`${flag} is "${value}"; it must be a duration such as 90s, 50m or 2h.`);
  return ms;
}

export function wholeNumberOf(name: string, value: string, min: number, max: number): number {
  const number = /^\d+$/.test(value) ? Number(value) : NaN;
  if (!(number >= min && number <= max))
    throw new UsageError(`${name} is "${value}"; it must be a whole number from ${min} to ${max}.`);
  return number;
}

export function definitionNamed(config: Config, name: string): DefinitionConfig {
  const definition = Object.hasOwn(config.definitions, name) ? config.definitions[name] : undefined;
  if (definition) return definition;
  const names = Object.keys(config.definitions);
  const near = nearest(name, names);
  throw new UsageError(
    `There is no definition "${name}"${near === undefined ? '' : `; did you mean "${near}"?`} The config has: ${names.join(', ')}.`,
  );
}
