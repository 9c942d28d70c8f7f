import { lookup as systemLookup } from 'node:dns/promises';
import type { LookupFunction } from 'node:net';
import { isAddressAllowed } from './address.ts';
import { UdmError } from './errors.ts';
import type { UdmErrorDetails } from './errors.ts';
import { EarlyEndError, HttpGet } from './http-get.ts';
import type { GetAnswer } from './http-get.ts';
import { redactUrl, refusePresigned } from './presigned.ts';
import type { DownloadRules } from './presigned.ts';
import type { Redactor } from './redact.ts';
import { SilenceError } from './socket-reader.ts';
import type { Download, DownloadOptions, PresignedUrl } from './types.ts';

/** One address a name resolves to. */
export interface ResolvedAddress {
  readonly address: string;
  readonly family: number;
}

export interface DownloaderOptions {
  readonly rules: DownloadRules;
  /** How long the origin may send nothing while we are waiting for it. */
  readonly idleTimeoutMs: number;
  readonly redactor: Redactor;
  /** All addresses of a name; the system's resolver by default. */
  readonly resolve?: (hostname: string) => Promise<readonly ResolvedAddress[]>;
}

/** The second hop: GET on a pre-signed URL. */
export interface Downloader {
  download(url: PresignedUrl, options?: DownloadOptions): Promise<Download>;
  close(): void;
}

const endpoint = 'GET (pre-signed URL)';
/** S3 explains an error in a few hundred bytes of XML. */
const errorBodyBytes = 16 * 1024;
/** Bytes of the pieces that a body is handed out in. */
const pieceBytes = 64 * 1024;

/**
 * Fetches pre-signed URLs with nothing of ours in the request: S3 answers 400 to a signed URL that carries an
 * Authorization header as well, and the origin is none of our credentials' business.
 */
export function createDownloader(options: DownloaderOptions): Downloader {
  const { rules, redactor } = options;
  const resolve = options.resolve ?? ((hostname: string) => systemLookup(hostname, { all: true }));

  /** Resolves once, checks every address, and hands exactly those to the socket: no second look-up to rebind. */
  function checkedLookup(encrypted: boolean): LookupFunction {
    return (hostname, lookupOptions, callback) => {
      resolve(hostname).then(
        (addresses) => {
          const bad = addresses.find(({ address }) => !isAddressAllowed(address, encrypted, rules.addresses));
          const [first] = addresses;
          if (bad !== undefined)
            callback(
              refused(`its host resolves to ${bad.address}, which is not where files may come from`),
              '',
            );
          else if (first === undefined) callback(new Error('the name has no address'), '');
          else if (lookupOptions.all === true)
            callback(
              null,
              addresses.map((entry) => ({ ...entry })),
            );
          else callback(null, first.address, first.family);
        },
        (error: unknown) => {
          callback(redactor.cause(error), '');
        },
      );
    };
  }
  const lookups = { plain: checkedLookup(false), encrypted: checkedLookup(true) };
  const http = new HttpGet({
    idleTimeoutMs: options.idleTimeoutMs,
    lookup: (encrypted) => (encrypted ? lookups.encrypted : lookups.plain),
  });

  /** Sends the request and waits for the headers. */
  async function send(
    url: URL,
    headers: Record<string, string>,
    signal: AbortSignal | undefined,
  ): Promise<GetAnswer> {
    try {
      return await http.get(url, headers, signal);
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof UdmError) throw error;
      if (error instanceof SilenceError) throw stalled(options.idleTimeoutMs);
      const cause = redactor.cause(error);
      throw new UdmError(
        'ERR_DOWNLOAD_UNREACHABLE',
        endpoint,
        `${redactUrl(url)} gave no answer: ${cause.message}.`,
        {
          cause,
          retryable: true,
          hint: 'Check that this machine may reach the storage host the upstream redirects to.',
        },
      );
    }
  }

  return {
    async download(presigned, { start, end, ifMatch, signal } = {}) {
      const url = new URL(presigned.secret);
      const objection = refusePresigned(url, rules);
      if (objection !== undefined) throw refused(objection);
      const ranged = start !== undefined || end !== undefined;
      const answer = await send(
        url,
        {
          accept: '*/*',
          'accept-encoding': 'identity',
          'user-agent': 'udm-sync',
          ...(ranged ? { range: `bytes=${start ?? 0}-${end ?? ''}` } : {}),
          ...(ifMatch === undefined ? {} : { 'if-match': ifMatch }),
        },
        signal,
      );
      try {
        const { status } = answer;
        if (status !== 200 && status !== 206) throw await refusedByOrigin(url, answer, options.idleTimeoutMs);
        return describe({ answer, url, status, start, ranged, ifMatch, signal });
      } catch (error) {
        answer.destroy();
        throw error;
      }
    },
    close() {
      http.close();
    },
  };

  function describe(asked: {
    readonly answer: GetAnswer;
    readonly url: URL;
    readonly status: 200 | 206;
    readonly start: number | undefined;
    readonly ranged: boolean;
    readonly ifMatch: string | undefined;
    readonly signal: AbortSignal | undefined;
  }): Download {
    const { answer, url, status, signal } = asked;
    const { headers, length } = answer;
    const encoding = headers.get('content-encoding') ?? 'identity';
    if (encoding.trim().toLowerCase() !== 'identity')
      throw new UdmError('ERR_DOWNLOAD_ENCODED', endpoint, `${redactUrl(url)} came compressed in transit.`, {
        status,
        hint: 'The origin must serve the stored bytes as they are; a proxy in between may be compressing them.',
      });
    const etag = strongTag(headers.get('etag'));
    if (asked.ifMatch !== undefined && etag !== undefined && etag !== asked.ifMatch)
      throw changed(url, status);
    const range = status === 206 ? parseContentRange(headers.get('content-range')) : undefined;
    if (status === 206 && (!asked.ranged || range?.start !== (asked.start ?? 0)))
      throw new UdmError(
        'ERR_DOWNLOAD_RANGE',
        endpoint,
        `${redactUrl(url)} answered another range than asked.`,
        {
          status,
          hint: 'The origin does not serve ranges as S3 does.',
        },
      );
    const total = status === 200 ? length : range?.total;
    const modified = Date.parse(headers.get('last-modified') ?? '');
    return {
      status,
      ...(length === undefined ? {} : { length }),
      ...(total === undefined ? {} : { total }),
      ...(etag === undefined ? {} : { etag }),
      ...(Number.isNaN(modified) ? {} : { lastModified: new Date(modified) }),
      ...(etag !== undefined && isMd5(etag, headers) ? { md5: etag.slice(1, -1) } : {}),
      ...bodyOf({ answer, url, idleTimeoutMs: options.idleTimeoutMs, redactor, signal }),
      destroy: () => answer.destroy(),
    };
  }
}

interface BodySource {
  readonly answer: GetAnswer;
  readonly url: URL;
  readonly idleTimeoutMs: number;
  readonly signal: AbortSignal | undefined;
  readonly redactor: Redactor;
}

/** The two ways to read a body; both end well only if the origin ended it well. */
function bodyOf(source: BodySource): Pick<Download, 'body' | 'fill'> {
  const { answer, url, signal } = source;
  let received = 0;

  async function read(target: Uint8Array, least: number, onBytes?: (bytes: number) => void): Promise<number> {
    signal?.throwIfAborted();
    try {
      return await answer.read(target, least, (bytes) => {
        received += bytes;
        onBytes?.(bytes);
      });
    } catch (error) {
      signal?.throwIfAborted();
      throw brokenOff(source, received, error);
    }
  }

  async function* pieces(): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      for (;;) {
        const piece = Buffer.allocUnsafe(Math.min(pieceBytes, answer.length ?? pieceBytes));
        const got = await read(piece, 1);
        if (got === 0) break;
        yield piece.subarray(0, got);
      }
    } finally {
      answer.destroy();
    }
    if (answer.length !== undefined && received < answer.length)
      throw truncated(url, received, answer.length);
  }

  return {
    body: pieces(),
    async fill(target, onBytes) {
      if (target.byteLength === 0) return;
      if ((await read(target, target.byteLength, onBytes)) < target.byteLength)
        throw truncated(url, received, answer.length ?? target.byteLength);
    },
  };
}

function brokenOff({ answer, url, idleTimeoutMs, redactor }: BodySource, received: number, error: unknown) {
  if (error instanceof SilenceError) return stalled(idleTimeoutMs);
  // A clean end of the connection before the announced length is told from one that broke.
  if (error instanceof EarlyEndError && answer.length !== undefined)
    return truncated(url, received, answer.length);
  const message = `${redactUrl(url)} broke off after ${received} bytes.`;
  return new UdmError('ERR_DOWNLOAD_BROKEN', endpoint, message, {
    cause: redactor.cause(error),
    retryable: true,
    hint: 'The transfer is taken up again.',
  });
}

/**
 * Whether a strong ETag is the MD5 of the bytes: S3's is, unless the object came in parts (then it ends in `-N`) or is
 * encrypted under a key of KMS or of the customer.
 */
function isMd5(etag: string, headers: ReadonlyMap<string, string>): boolean {
  const encryption = headers.get('x-amz-server-side-encryption') ?? 'AES256';
  return (
    /^"[0-9a-f]{32}"$/.test(etag) &&
    encryption === 'AES256' &&
    !headers.has('x-amz-server-side-encryption-customer-algorithm')
  );
}

function truncated(url: URL, received: number, length: number): UdmError {
  const message = `${redactUrl(url)} ended after ${received} of ${length} bytes.`;
  return new UdmError('ERR_DOWNLOAD_TRUNCATED', endpoint, message, {
    retryable: true,
    hint: 'The transfer is taken up again.',
  });
}

function stalled(idleTimeoutMs: number): UdmError {
  return new UdmError(
    'ERR_DOWNLOAD_STALLED',
    endpoint,
    `the origin sent next to nothing for ${idleTimeoutMs} ms.`,
    {
      retryable: true,
      hint: 'The transfer is taken up again.',
    },
  );
}

function refused(objection: string): UdmError {
  return new UdmError('ERR_PRESIGNED_REFUSED', endpoint, `the upstream's URL is not fetched: ${objection}.`, {
    hint: 'If this is where your files really are, allow the host or the private addresses in the tenant settings.',
  });
}

function changed(url: URL, status: number): UdmError {
  return new UdmError('ERR_PRESIGNED_CHANGED', endpoint, `${redactUrl(url)} is no longer the same object.`, {
    status,
    retryable: true,
    hint: 'The transfer begins again with the new bytes.',
  });
}

/** What an error status of the origin means. Of S3's XML only the code is kept: the rest quotes the signature. */
async function refusedByOrigin(url: URL, answer: GetAnswer, timeoutMs: number): Promise<UdmError> {
  const { status } = answer;
  const shown = redactUrl(url);
  if (status >= 300 && status < 400) return refused('its host redirects elsewhere');
  const xml = await readStart(answer, timeoutMs);
  const word = /<Code>(\w{1,64})<\/Code>/.exec(xml)?.[1];
  const details: UdmErrorDetails = { status, ...(word === undefined ? {} : { excerpt: word }) };
  const says = `${status}${word === undefined ? '' : ` ${word}`}`;
  if (/<Message>\s*Request has expired/i.test(xml) || word === 'ExpiredToken')
    return new UdmError('ERR_PRESIGNED_EXPIRED', endpoint, `the URL of ${shown} is too old.`, {
      ...details,
      retryable: true,
      hint: 'A new one is asked for; if this repeats, compare the clock of this machine with the real time.',
    });
  switch (status) {
    case 404:
      return new UdmError('ERR_PRESIGNED_NOT_FOUND', endpoint, `${shown} does not exist.`, {
        ...details,
        hint: 'The file was deleted or has expired upstream.',
      });
    case 412:
      return changed(url, status);
    case 416:
      return new UdmError(
        'ERR_DOWNLOAD_RANGE',
        endpoint,
        `${shown} does not have the range asked for.`,
        details,
      );
    case 408:
    case 429:
      return new UdmError('ERR_DOWNLOAD_UNREACHABLE', endpoint, `${shown} answered ${says}.`, {
        ...details,
        retryable: true,
        hint: 'The storage is busy; it is tried again later.',
      });
    default:
      if (status >= 500)
        return new UdmError('ERR_DOWNLOAD_UNREACHABLE', endpoint, `${shown} answered ${says}.`, {
          ...details,
          retryable: true,
          hint: 'The storage is in trouble; it is tried again later.',
        });
      return new UdmError('ERR_PRESIGNED_DENIED', endpoint, `${shown} answered ${says}.`, {
        ...details,
        retryable: true,
        hint: 'The storage did not accept the URL that the upstream made; a new one is asked for.',
      });
  }
}

/** The beginning of a small body, as far as it comes in time; for explanations only, so nothing here can fail. */
async function readStart(answer: GetAnswer, timeoutMs: number): Promise<string> {
  const timer = setTimeout(() => answer.destroy(), timeoutMs);
  const start = Buffer.alloc(errorBodyBytes);
  let got = 0;
  const note = (bytes: number) => (got += bytes);
  await answer.read(start, errorBodyBytes, note).catch(() => undefined);
  clearTimeout(timer);
  return start.toString('utf8', 0, got);
}

function wholeNumber(header: string | undefined): number | undefined {
  return header !== undefined && /^\d{1,15}$/.test(header) ? Number(header) : undefined;
}

/** An ETag with its quotes, unless it is weak and so says nothing about bytes. */
function strongTag(header: string | undefined): string | undefined {
  return header?.startsWith('"') === true ? header : undefined;
}

/** `bytes 0-99/1234`; the total is undefined where the origin writes `*`. */
export function parseContentRange(
  header: string | undefined,
): { readonly start: number; readonly total: number | undefined } | undefined {
  const match = /^bytes (\d{1,15})-\d{1,15}\/(\d{1,15}|\*)$/.exec(header ?? '');
  return match === null ? undefined : { start: Number(match[1]), total: wholeNumber(match[2]) };
}
