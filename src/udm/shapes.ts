import { z } from 'zod';
import type { Certificate, DataWord, ExportJob, FileMetadata, HistoryEntry } from './types.ts';
import { asBoolean, asCount, asDate, asNumber, asPhrase, asText, nameProblem } from './values.ts';

/*
 * The bodies of the upstream. Their fields are not documented, so every schema takes what is known to occur, in
 * every spelling, and ignores the rest: a field we can do without never makes an answer unreadable.
 */

type Fields = Readonly<Record<string, unknown>>;

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isList(value: unknown): value is readonly unknown[] {
  return Array.isArray(value);
}

/** What a body says of itself in its envelope, and what is inside. */
export interface Unwrapped {
  /** The part that carries the answer; undefined if the envelope is empty. */
  readonly data: unknown;
  /** Where `data` was found, for messages: '' or 'data'. */
  readonly path: '' | 'data';
  /** Set when the envelope reports a failure although the HTTP status does not. */
  readonly failure?: { readonly code: number; readonly message: string | undefined };
}

/** Takes off `{"status":{"code":0},"data":…}` where it is there. */
export function unwrap(body: unknown): Unwrapped {
  if (!isFields(body)) return { data: body, path: '' };
  const { status } = body;
  if (isFields(status) && 'code' in status) {
    const code = asNumber(status['code']);
    // 0 is success and 1 "accepted" throughout the vendor's APIs; some gateways repeat the HTTP status.
    const failed = code !== undefined && code !== 0 && code !== 1 && (code < 200 || code > 299);
    const inner: Unwrapped = { data: body['data'], path: 'data' };
    return failed ? { ...inner, failure: { code, message: asText(status['message']) } } : inner;
  }
  const keys = Object.keys(body);
  return keys.length === 1 && keys[0] === 'data'
    ? { data: body['data'], path: 'data' }
    : { data: body, path: '' };
}

const optional = <T>(read: (value: unknown) => T | undefined) => z.unknown().transform(read).optional();
const text = optional(asText);
const phrase = optional(asPhrase);
/** A name as it came: replacing anything in it would make it the name of another file. */
const rawName = optional((value) => (typeof value === 'string' && value !== '' ? value : asText(value)));
const count = optional(asCount);
const date = optional(asDate);
const flag = optional(asBoolean);

/** Drops the keys that hold undefined: an absent property and an undefined one are not the same to the types. */
function present<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const entries = Object.entries(fields).filter(([, value]) => value !== undefined);
  // Object.fromEntries forgets which keys there were.
  return Object.fromEntries(entries) as { [K in keyof T]?: Exclude<T[K], undefined> };
}

/** A required text, reported under the first of the names it goes by. */
function required(value: string | undefined, name: string, context: z.RefinementCtx): string {
  if (value !== undefined) return value;
  context.addIssue({ code: 'custom', path: [name], message: 'is missing or not a text' });
  return z.NEVER;
}

export const jobSchema = z
  .object({
    id: text,
    jobId: text,
    title: text,
    description: text,
    source: text,
    type: text,
    status: phrase,
    suspended: flag,
    suspend: flag,
    createdDate: date,
  })
  .transform((job, context): ExportJob => {
    const { title, description, source, type, status, createdDate } = job;
    const suspended = job.suspended ?? job.suspend;
    const id = required(job.id ?? job.jobId, 'id', context);
    return { id, ...present({ title, description, source, type, status, suspended, createdDate }) };
  });

export const historySchema = z
  .object({
    id: text,
    historyId: text,
    jobId: text,
    jobID: text,
    title: text,
    jobTitle: text,
    source: text,
    type: text,
    status: phrase,
    progress: optional(asPercent),
    fileName: text,
    name: text,
    fileSize: count,
    size: count,
    createdDate: date,
    uploadDate: date,
    lastModified: date,
    reason: phrase,
    errorMessage: phrase,
    error: phrase,
    message: phrase,
  })
  .transform((entry, context): HistoryEntry => {
    const { source, type, status, progress } = entry;
    return {
      id: required(entry.id ?? entry.historyId, 'id', context),
      ...present({
        jobId: entry.jobId ?? entry.jobID,
        title: entry.title ?? entry.jobTitle,
        source,
        type,
        status,
        progress,
        fileName: entry.fileName ?? entry.name,
        fileSize: entry.fileSize ?? entry.size,
        createdDate: entry.createdDate ?? entry.uploadDate ?? entry.lastModified,
        reason: entry.reason ?? entry.errorMessage ?? entry.error ?? entry.message,
      }),
    };
  });

export const fileSchema = z
  .object({
    name: rawName,
    fileName: rawName,
    size: count,
    fileSize: count,
    createdDate: date,
    uploadDate: date,
    lastModified: date,
    historyId: text,
    jobId: text,
    jobTitle: text,
    title: text,
    type: text,
    source: text,
  })
  .transform((file, context): FileMetadata => {
    const { historyId, jobId, type, source } = file;
    const name = file.name ?? file.fileName;
    const problem = name === undefined ? undefined : nameProblem(name);
    if (problem !== undefined) context.addIssue({ code: 'custom', path: ['name'], message: problem });
    return {
      name: required(name, 'name', context),
      ...present({
        size: file.size ?? file.fileSize,
        createdDate: file.createdDate ?? file.uploadDate ?? file.lastModified,
        historyId,
        jobId,
        jobTitle: file.jobTitle ?? file.title,
        type,
        source,
      }),
    };
  });

export const certificateSchema = z
  .object({ ccid: text, name: text, fileName: text, size: count, lastModified: date })
  .transform(({ ccid, name, fileName, size, lastModified }): Certificate =>
    present({ ccid, name: name ?? fileName, size, lastModified }),
  );

/** What POST /v10/export/jobs may answer: a job, an id in some field, or an id alone. */
export const createdJobSchema = z.union([
  jobSchema,
  z.union([z.string().min(1), z.number()]).transform((id): ExportJob => ({ id: String(id) })),
]);

/** 0 to 100, bare or as `{"progress": n}`; a percent sign does no harm. */
export const progressSchema = z.unknown().transform((value, context): number => {
  const percent = asPercent(isFields(value) ? (value['progress'] ?? value['percent']) : value);
  if (percent !== undefined) return percent;
  context.addIssue({ code: 'custom', path: ['progress'], message: 'is not a number' });
  return z.NEVER;
});

function asPercent(value: unknown): number | undefined {
  const number = asNumber(typeof value === 'string' ? value.replace(/\s*%\s*$/, '') : value);
  return number === undefined ? undefined : Math.min(100, Math.max(0, number));
}

/** A version, bare or as `{"version": "…"}`. */
export const versionSchema = z
  .unknown()
  .transform((value) => asText(isFields(value) ? (value['version'] ?? value['buildVersion']) : value));

const wordKeys = ['name', 'status', 'value', 'id', 'key', 'code', 'type', 'source', 'title', 'label'];
const descriptionKeys = ['description', 'title', 'label', 'displayName'];

function firstText(fields: Fields, keys: readonly string[]): string | undefined {
  return keys.map((key) => asText(fields[key])).find((value) => value !== undefined);
}

function asWord(value: unknown, key?: string): DataWord | undefined {
  if (isFields(value)) {
    const name = key ?? firstText(value, wordKeys);
    const description = firstText(value, descriptionKeys);
    if (name === undefined) return undefined;
    return description === undefined || description === name ? { name } : { name, description };
  }
  const own = asText(value);
  if (key === undefined) return own === undefined ? undefined : { name: own };
  return own === undefined || own === key ? { name: key } : { name: key, description: own };
}

/** Words as a list of words, a list of objects or a map from word to description; nothing at all is an empty list. */
export const wordsSchema = z.unknown().transform((value, context): DataWord[] => {
  const list = listIn(value);
  const words = list
    ? list.map((item) => asWord(item))
    : isFields(value)
      ? Object.entries(value).map(([key, item]) => asWord(item, key))
      : [undefined];
  const bad = words.indexOf(undefined);
  if (bad >= 0) context.addIssue({ code: 'custom', path: list ? [bad] : [], message: 'is not a word' });
  return words.filter((word) => word !== undefined);
});

/** One page of a list. */
export interface Page<T> {
  readonly items: readonly T[];
  /** How many the whole list has, where the upstream says so. */
  readonly count: number | undefined;
}

/** A page as `{"count", "items": […]}`, a bare array, a map from id to item, or nothing (204). */
export function pageSchema<T>(item: z.ZodType<T>) {
  return z
    .unknown()
    .transform((value, context): { items: unknown[]; count?: unknown } => {
      const total = isFields(value) ? asCount(value['count']) : undefined;
      const items = listIn(value) ?? mapIn(value);
      if (items === undefined) {
        context.addIssue({ code: 'custom', path: ['items'], message: 'is not a list' });
        return z.NEVER;
      }
      return { items: [...items], count: total };
    })
    .pipe(z.object({ items: z.array(item), count: optional(asCount) }))
    .transform((page): Page<T> => ({ items: page.items, count: page.count }));
}

/** The list in a value: itself, its `items`, or none at all; undefined if it holds no list. */
function listIn(value: unknown): readonly unknown[] | undefined {
  if (value === undefined || value === null) return [];
  if (isList(value)) return value;
  if (!isFields(value)) return undefined;
  if ('items' in value) return isList(value['items']) ? value['items'] : mapIn(value['items'] ?? {});
  return asCount(value['count']) === 0 ? [] : undefined;
}

/** A map from id (or file name) to item, as a list. */
function mapIn(value: unknown): readonly unknown[] | undefined {
  if (!isFields(value) || !Object.values(value).every(isFields)) return undefined;
  return Object.entries(value).map(([key, item]) =>
    isFields(item) ? { id: key, name: key, ...item } : item,
  );
}

/** The names or ids in the error body of a list operation; undefined if it is not a list of those. */
export function namesIn(body: unknown): readonly string[] | undefined {
  const { data } = unwrap(body);
  if (!isList(data)) return undefined;
  const names = data.map((item) =>
    isFields(item) ? firstText(item, ['fileName', 'filename', 'name', 'id', 'jobId']) : asText(item),
  );
  return names.every((name) => name !== undefined) ? names : undefined;
}

/** A pre-signed URL as listed, with the file it is for where the answer says so. */
export interface ListedUrl {
  readonly name: string | undefined;
  readonly url: string;
}

const fileKeys = ['fileName', 'filename', 'name', 'key', 'id'];
const urlKeys = [
  'url',
  'presignedUrl',
  'preSignedUrl',
  'signedUrl',
  'downloadUrl',
  'href',
  'link',
  'location',
];

function asListedUrl(value: unknown, key?: string): ListedUrl | undefined {
  const own = isFields(value) ? firstText(value, urlKeys) : typeof value === 'string' ? value : undefined;
  if (own === undefined || !/^https?:\/\//i.test(own)) return undefined;
  return { name: key ?? (isFields(value) ? firstText(value, fileKeys) : undefined), url: own };
}

/** GET /v10/files: a list of URLs, a list of objects with name and URL, a map from name to URL, or one of those. */
export const listedUrlsSchema = z.unknown().transform((value, context): readonly ListedUrl[] => {
  const single = asListedUrl(value);
  const list = listIn(value);
  const urls = single
    ? [single]
    : list
      ? list.map((item) => asListedUrl(item))
      : isFields(value)
        ? Object.entries(value).map(([key, item]) => asListedUrl(item, key))
        : [undefined];
  const bad = urls.indexOf(undefined);
  if (bad >= 0) context.addIssue({ code: 'custom', path: list ? [bad] : [], message: 'holds no URL' });
  return urls.filter((url) => url !== undefined);
});

/** What the Authentication API answers. */
export const tokenSchema = z
  .object({
    // It becomes a header: nothing but printable ASCII.
    access_token: z.string().regex(/^[\x21-\x7e]+$/, 'is not a token'),
    expires_in: optional(asNumber),
    refresh_token: text,
  })
  .transform(({ access_token, expires_in, refresh_token }) => ({
    accessToken: access_token,
    /** Seconds. */
    expiresIn: expires_in,
    refreshToken: refresh_token,
  }));

/** The sentence in an error body, wherever this API puts it. */
export function messageIn(body: unknown): string | undefined {
  if (!isFields(body)) return undefined;
  const status = isFields(body['status']) ? body['status'] : {};
  const errors = isList(body['errors']) ? body['errors'][0] : undefined;
  return (
    asText(body['message']) ??
    asText(body['error_description']) ??
    asText(status['message']) ??
    asText(body['errorMessage']) ??
    (isFields(errors) ? asText(errors['message']) : asText(errors)) ??
    asText(body['error'])
  );
}
