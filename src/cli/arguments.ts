import type { Config, DefinitionConfig, SinkConfig } from '../config/config.ts';
import { nearest } from '../config/did-you-mean.ts';
import { parseDuration } from '../config/duration.ts';
import { date } from '../config/fields.ts';
import { UsageError } from '../errors.ts';

/** An instant from a flag: an ISO date (midnight UTC) or date and time; UTC unless it says otherwise. */
export function instantOf(flag: string, value: string): Date {
  const parsed = date().safeParse(value);
  if (!parsed.success)
    throw new UsageError(
      `${flag} is "${value}"; it must be a date (2026-01-31) or a date and time (2026-01-31T08:00:00Z), in UTC unless it says otherwise.`,
    );
  return parsed.data;
}

/** A duration from a flag, in ms. */
export function durationOf(flag: string, value: string): number {
  const ms = parseDuration(value);
  if (ms === undefined || ms <= 0)
    throw new UsageError(`${flag} is "${value}"; it must be a duration such as 90s, 50m or 2h.`);
  return ms;
}

/** The id of a run. */
export function runIdOf(value: string): number {
  const id = /^\d{1,15}$/.test(value) ? Number(value) : 0;
  if (id > 0) return id;
  throw new UsageError(
    `<run> is "${value}"; it must be the id of a run, a number as udm-sync runs shows it.`,
  );
}

export function wholeNumberOf(name: string, value: string, min: number, max: number): number {
  const number = /^\d+$/.test(value) ? Number(value) : NaN;
  if (!(number >= min && number <= max))
    throw new UsageError(`${name} is "${value}"; it must be a whole number from ${min} to ${max}.`);
  return number;
}

export function definitionNamed(config: Config, name: string): DefinitionConfig {
  return named('definition', config.definitions, name);
}

export function sinkNamed(config: Config, name: string): SinkConfig {
  return named('sink', config.sinks, name);
}

function named<T>(what: string, entries: Readonly<Record<string, T>>, name: string): T {
  const entry = Object.hasOwn(entries, name) ? entries[name] : undefined;
  if (entry !== undefined) return entry;
  const names = Object.keys(entries);
  const near = nearest(name, names);
  throw new UsageError(
    `There is no ${what} "${name}"${near === undefined ? '.' : `; did you mean "${near}"?`} The config has: ${names.join(', ')}.`,
  );
}
