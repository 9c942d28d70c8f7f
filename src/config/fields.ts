import ipaddr from 'ipaddr.js';
import { isAbsolute, resolve } from 'node:path';
import { z } from 'zod';
import { durationUnits, formatDuration, parseDuration } from './duration.ts';
import { parseSize } from './size.ts';

/** The kinds of values that settings have. Each takes text too, since environment variables are text. */

/** In an editor, every value may be written as a reference. */
const reference = { type: 'string', pattern: String.raw`\$\{` } as const;

/**
 * One setting: what an editor is told (`json`), what a person is told (`allowed`), and how the value is read.
 * `parse` answers undefined for a value that is not allowed.
 */
function field<T>(json: Record<string, unknown>, allowed: string, parse: (value: unknown) => T | undefined) {
  return z
    .unknown()
    .transform((value, context): T => {
      if (value === null) {
        context.addIssue('is empty; give it a value or leave it out');
        return z.NEVER;
      }
      const parsed = value === undefined ? undefined : parse(value);
      if (parsed !== undefined) return parsed;
      context.addIssue(value === undefined ? `is required: ${allowed}` : `must be ${allowed}`);
      return z.NEVER;
    })
    .meta(json);
}

/** Text that is not empty. */
export function text(example: string) {
  return field({ type: 'string', minLength: 1, examples: [example] }, `text, such as ${example}`, asText);
}

/** Text that is never shown; `${name}File` may name a file that holds it instead. */
export function secret(name: string, what: string, minLength = 1) {
  const allowed = `${what}, as text in quotes or in a file that ${name}File names`;
  // In an editor it is a reference, mostly a short one.
  return field({ type: 'string', minLength: 1, writeOnly: true }, allowed, (value) => {
    const given = asText(value);
    return given !== undefined && given.length >= minLength ? given : undefined;
  });
}

function asText(value: unknown): string | undefined {
  return typeof value === 'string' && value.trim() !== '' ? value : undefined;
}

export function matching(pattern: RegExp, allowed: string, json: Record<string, unknown> = {}) {
  const either = `${pattern.source}|${reference.pattern}`;
  return field({ type: 'string', pattern: either, ...json }, allowed, (value) =>
    typeof value === 'string' && pattern.test(value) ? value : undefined,
  );
}

export function number(minimum: number, maximum: number, whole = true) {
  const type = whole ? 'integer' : 'number';
  const allowed = `a ${whole ? 'whole ' : ''}number from ${minimum} to ${maximum}`;
  return field({ anyOf: [{ type, minimum, maximum }, reference] }, allowed, (value) => {
    const read = typeof value === 'string' && /^\d+(\.\d+)?$/.test(value.trim()) ? Number(value) : value;
    if (typeof read !== 'number' || !(read >= minimum && read <= maximum)) return undefined;
    return whole && !Number.isInteger(read) ? undefined : read;
  });
}

/** A TCP port to listen on; 0 for none, which may also be written as false. */
export function port() {
  const json = { anyOf: [{ type: 'integer', minimum: 0, maximum: 65_535 }, { const: false }, reference] };
  return field(json, 'a port from 1 to 65535, or 0 or false for none', (value) => {
    if (value === false || value === 'false') return 0;
    const read = typeof value === 'string' && /^\d{1,5}$/.test(value.trim()) ? Number(value) : value;
    return typeof read === 'number' && Number.isInteger(read) && read >= 0 && read <= 65_535
      ? read
      : undefined;
  });
}

export function flag() {
  return field({ anyOf: [{ type: 'boolean' }, reference] }, 'true or false', (value) => {
    if (value === 'true') return true;
    if (value === 'false') return false;
    return typeof value === 'boolean' ? value : undefined;
  });
}

export function choice<const T extends string>(...choices: readonly T[]) {
  return field({ anyOf: [{ enum: choices }, reference] }, `one of ${choices.join(', ')}`, (value) =>
    choices.find((known) => known === value),
  );
}

/** Milliseconds, from texts such as `30s`. */
export function duration(minimum: string, maximum: string) {
  const [least, most] = [parseDuration(minimum) ?? 0, parseDuration(maximum) ?? Infinity];
  const pattern = String.raw`^\d{1,12} ?(ms|s|m|h|d|w)$|^0$|\$\{`;
  const json = {
    type: ['string', 'integer'],
    pattern,
    maximum: 0,
    minimum: 0,
    examples: ['30s', '15m', '1h', '1d'],
  };
  const allowed = `a duration from ${formatDuration(least)} to ${formatDuration(most)}: a whole number with ${durationUnits}, such as 30s`;
  return field(json, allowed, (value) => {
    const read = parseDuration(value);
    return read !== undefined && read >= least && read <= most ? read : undefined;
  });
}

const day = 86_400_000;

/** Milliseconds of a window: whole minutes that divide a day, or whole days, up to 31. */
export function windowLength() {
  const json = {
    type: 'string',
    pattern: String.raw`^\d{1,12} ?(m|h|d|w)$|\$\{`,
    examples: ['15m', '1h', '1d', '1w'],
  };
  const allowed =
    'a duration that divides a day (whole minutes) or is whole days, up to 31d, such as 15m, 1h or 1d';
  return field(json, allowed, (value) => {
    const read = parseDuration(value);
    if (read === undefined || read <= 0 || read > 31 * day || read % 60_000 !== 0) return undefined;
    return day % read === 0 || read % day === 0 ? read : undefined;
  });
}

/** Bytes, from numbers or texts such as `8MiB`. */
export function size(minimum: string, maximum: string) {
  const [least, most] = [parseSize(minimum) ?? 0, parseSize(maximum) ?? Infinity];
  const pattern = String.raw`^\d{1,15} ?(B|KB|MB|GB|KiB|MiB|GiB)?$|\$\{`;
  const json = { type: ['integer', 'string'], pattern, minimum: least, maximum: most, examples: ['8MiB'] };
  return field(json, `a size from ${minimum} to ${maximum}, such as 8MiB`, (value) => {
    const read = parseSize(value);
    return read !== undefined && read >= least && read <= most ? read : undefined;
  });
}

/** A list of texts, or one text with commas between. */
export function list(minimum: 0 | 1, allowed: string, item: RegExp = /\S/) {
  const json = {
    anyOf: [
      {
        type: 'array',
        items: { type: 'string', pattern: item.source },
        minItems: minimum,
        uniqueItems: true,
      },
      { type: 'string' },
    ],
  };
  return field(json, allowed, (value): string[] | undefined => {
    const items = typeof value === 'string' ? value.split(',').map((entry) => entry.trim()) : value;
    if (!Array.isArray(items) || items.length < minimum) return undefined;
    const texts = items.filter((entry) => typeof entry === 'string' && item.test(entry));
    return texts.length === items.length && new Set(texts).size === texts.length ? texts : undefined;
  });
}

/** A path; relative ones count from the working directory. */
export function path(example: string) {
  return field(
    { type: 'string', minLength: 1, examples: [example] },
    `a path, such as ${example}`,
    (value) => {
      const given = asText(value);
      if (given === undefined || given.includes('\0')) return undefined;
      return isAbsolute(given) ? given : resolve(given);
    },
  );
}

const isoDate = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,3})?)?(Z|[+-]\d\d:\d\d)?)?$/;

/** An ISO 8601 date, in UTC unless it says otherwise. */
export function date() {
  const json = {
    type: 'string',
    pattern: `${isoDate.source}|${reference.pattern}`,
    examples: ['2026-01-01T00:00:00Z'],
  };
  return field(
    json,
    'an ISO 8601 date, UTC unless it says otherwise, such as 2026-01-01T00:00:00Z',
    (value) => {
      const match = typeof value === 'string' ? isoDate.exec(value) : null;
      if (!match) return undefined;
      // A date without a zone would be read in the machine's own.
      const parsed = new Date(match[1] !== undefined && match[4] === undefined ? `${match[0]}Z` : match[0]);
      const exists = !Number.isNaN(parsed.getTime()) && calendarDayExists(match[0].slice(0, 10));
      return exists ? parsed : undefined;
    },
  );
}

/** `new Date` turns 30 February into 2 March. */
function calendarDayExists(text: string): boolean {
  const midnight = new Date(`${text}T00:00:00Z`);
  return !Number.isNaN(midnight.getTime()) && midnight.toISOString().startsWith(text);
}

/** Address of the upstream: https, or http on this machine; no credentials, query or fragment. */
export function upstreamUrl() {
  const json = {
    type: 'string',
    pattern: String.raw`^https?://|\$\{`,
    examples: ['https://gapi-use1.genesyscloud.com'],
  };
  const allowed =
    'an https:// address without credentials, query or /udm at its end (http:// for loopback only), such as https://gapi-use1.genesyscloud.com';
  return field(json, allowed, (value) => {
    const url = parseUrl(value);
    if (!url || (url.protocol !== 'https:' && !(url.protocol === 'http:' && isLoopback(url.hostname))))
      return undefined;
    const address = `${url.origin}${url.pathname}`.replace(/\/+$/, '');
    return /\/(udm|auth)(\/v\d+)?$/.test(address) ? undefined : address;
  });
}

/** Address of an S3 server: http or https. */
export function endpointUrl() {
  const json = { type: 'string', pattern: String.raw`^https?://|\$\{`, examples: ['https://s3.example.net'] };
  return field(json, 'an http:// or https:// address without credentials or query', (value) => {
    const url = parseUrl(value);
    if (!url || (url.protocol !== 'https:' && url.protocol !== 'http:')) return undefined;
    return `${url.origin}${url.pathname}`.replace(/\/+$/, '');
  });
}

/** A connection string of Postgres. Secret as a whole, since it mostly holds a password. */
export function postgresUrl() {
  const json = {
    type: 'string',
    minLength: 1,
    writeOnly: true,
    examples: ['postgres://user@db.example.net:5432/udm_sync'],
  };
  return field(json, 'a connection string such as postgres://user:password@host:5432/database', (value) =>
    typeof value === 'string' && /^postgres(ql)?:\/\//.test(value) && URL.canParse(value) ? value : undefined,
  );
}

/** Where a webhook listens: https, or http on this machine. Secret as a whole: its path or query is the credential. */
export function webhookUrl() {
  const json = { type: 'string', minLength: 1, writeOnly: true };
  const allowed =
    'an https:// address without user and password (http:// for loopback only), as text in quotes or in a file that urlFile names';
  return field(json, allowed, (value) => {
    if (typeof value !== 'string' || !URL.canParse(value.trim())) return undefined;
    const url = new URL(value.trim());
    if (url.username || url.password || !url.hostname) return undefined;
    const safe = url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url.hostname));
    return safe ? url.href : undefined;
  });
}

/** A list of some of these words, or one text with commas between. */
export function choices<const T extends string>(known: readonly T[]) {
  const json = {
    anyOf: [{ type: 'array', items: { enum: known }, minItems: 1, uniqueItems: true }, { type: 'string' }],
  };
  return field(json, `a list of some of ${known.join(', ')}`, (value): T[] | undefined => {
    const items: unknown = typeof value === 'string' ? value.split(',').map((entry) => entry.trim()) : value;
    if (!Array.isArray(items) || items.length === 0) return undefined;
    const words = known.filter((word) => items.includes(word));
    return words.length === items.length ? words : undefined;
  });
}

function parseUrl(value: unknown): URL | undefined {
  if (typeof value !== 'string' || !URL.canParse(value)) return undefined;
  const url = new URL(value);
  return url.username || url.password || url.search || url.hash || !url.hostname ? undefined : url;
}

function isLoopback(hostname: string): boolean {
  const bare = hostname.replace(/^\[|\]$/g, '');
  return bare === 'localhost' || (ipaddr.isValid(bare) && ipaddr.process(bare).range() === 'loopback');
}

/** Folders inside a bucket; slashes at either end are dropped. */
export function prefix() {
  const json = { type: 'string', examples: ['exports/genesys'] };
  return field(json, 'folders such as exports/genesys, without empty, . or .. ones', (value) => {
    if (typeof value !== 'string') return undefined;
    const bare = value.replace(/^\/|\/$/g, '');
    const wrong = bare.split('/').some((folder) => folder === '' || folder === '.' || folder === '..');
    return (wrong && bare !== '') || /[\p{Cc}\\]/u.test(bare) ? undefined : bare;
  });
}

/** Digits, from text or a number. */
export function digits(pattern: RegExp, allowed: string) {
  const json = { type: ['string', 'integer'], pattern: `${pattern.source}|${reference.pattern}` };
  return field(json, allowed, (value) => {
    const written = typeof value === 'number' ? String(value) : value;
    return typeof written === 'string' && pattern.test(written) ? written : undefined;
  });
}

/**
 * Text with its own rules: `problem` says what is wrong, as a phrase that follows the path. It may quote the value,
 * so its issues carry `quotesValue` for whoever knows that the value came from a variable.
 */
export function checked(json: Record<string, unknown>, problem: (value: string) => string | undefined) {
  return text(String(json['example']))
    .transform((value, context) => {
      const found = problem(value);
      if (found !== undefined)
        context.addIssue({ code: 'custom', message: found, params: { quotesValue: true } });
      return value;
    })
    .meta({ type: 'string', minLength: 1, examples: [json['example']] });
}
