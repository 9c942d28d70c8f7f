import { DateTime } from 'luxon';

/**
 * Text from text, a number or a boolean; undefined for anything else and for the empty string. What Postgres and UTF-8
 * cannot hold (NUL, half a surrogate pair) becomes U+FFFD.
 */
export function asText(value: unknown): string | undefined {
  if (typeof value === 'string') return value === '' ? undefined : keepable(value);
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  return undefined;
}

/** Longest text that we keep for people to read: a reason, a word. */
const longestPhrase = 500;

/** The beginning of a text that is only shown. */
export function asPhrase(value: unknown): string | undefined {
  const text = asText(value);
  return text === undefined || text.length <= longestPhrase ? text : `${text.slice(0, longestPhrase - 1)}…`;
}

function keepable(text: string): string {
  return text.toWellFormed().replaceAll('\0', '\ufffd');
}

/** Longest name of a file, in UTF-8 bytes: twice what S3 takes as a key, and what fits into an index of Postgres. */
const longestNameBytes = 2048;

/** Why a text cannot be the name of a file that we keep; undefined if it can. */
export function nameProblem(name: string): string | undefined {
  if (name.includes('\0') || !name.isWellFormed())
    return 'holds what no name can hold (NUL or half a character)';
  return Buffer.byteLength(name) > longestNameBytes ? `is longer than ${longestNameBytes} bytes` : undefined;
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

/** No date of this API lies outside of these years, and Postgres would not take every one that does. */
function validDate(date: Date): Date | undefined {
  const year = date.getUTCFullYear();
  return year >= 1970 && year < 3000 ? date : undefined;
}
