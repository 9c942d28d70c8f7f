import { DateTime } from 'luxon';

/** Text from text, a number or a boolean; undefined for anything else and for the empty string. */
export function asText(value: unknown): string | undefined {
  if (typeof value === 'string') return value === '' ? undefined : value;
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  return undefined;
}

/** A count or size: a whole number from 0 up, also when it arrives as text. */
export function asCount(value: unknown): number | undefined {
  const number = asNumber(value);
  return number !== undefined && Number.isSafeInteger(number) && number >= 0 ? number : undefined;
}

/** A finite number, also when it arrives as text. */
export function asNumber(value: unknown): number | undefined {
  if (typeof value === 'string' && /^\s*-?\d+(\.\d+)?\s*$/.test(value)) return Number(value);
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined;
}

/** A boolean, also when it arrives as text. */
export function asBoolean(value: unknown): boolean | undefined {
  if (typeof value === 'boolean') return value;
  if (typeof value !== 'string') return undefined;
  const word = value.trim().toLowerCase();
  return word === 'true' ? true : word === 'false' ? false : undefined;
}

/** A date from ISO 8601 text (UTC if it names no zone) or from epoch milliseconds, as number or text. */
export function asDate(value: unknown): Date | undefined {
  const epoch = asNumber(value);
  // Four digits are a year, and no file is from 1970.
  if (epoch !== undefined && Math.abs(epoch) > 9999) return validDate(new Date(epoch));
  if (typeof value !== 'string') return undefined;
  return validDate(DateTime.fromISO(value.trim(), { zone: 'utc' }).toJSDate());
}

function validDate(date: Date): Date | undefined {
  return Number.isNaN(date.getTime()) ? undefined : date;
}
