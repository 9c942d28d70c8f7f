import { lookup as systemLookup } from 'node:dns/promises';
import { Agent as HttpAgent, request as httpRequest } from 'node:http';
import type { ClientRequest, IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import type { LookupFunction } from 'node:net';
import { isAddressAllowed } from './address.ts';
import { UdmError } from './errors.ts';
import type { UdmErrorDetails } from './errors.ts';
import { redactUrl, refusePresigned } from './presigned.ts';
import type { DownloadRules } from './presigned.ts';
import type { Redactor } from './redact.ts';
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

/**
 * Fetches pre-signed URLs over plain node:http(s), with nothing of ours in the request: S3 answers 400 to a signed
 * URL that carries an Authorization header as well, and the origin is none of our credentials' business.
 */
export function createDownloader(options: DownloaderOptions): Downloader {
  const { rules, redactor } = options;
  const resolve = options.resolve ?? ((hostname: string) => systemLookup(hostname, { all: true }));
  const agents = { http: new HttpAgent({ keepAlive: true }), https: new HttpsAgent({ keepAlive: true }) };

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
  const lookups = { http: checkedLookup(false), https: checkedLookup(true) };

  function open(url: URL, headers: Record<string, string>, fresh: boolean): ClientRequest {
    const common = { method: 'GET', headers };
    return url.protocol === 'https:'
      ? httpsRequest(url, { ...common, lookup: lookups.https, agent: fresh ? false : agents.https })
      : httpRequest(url, { ...common, lookup: lookups.http, agent: fresh ? false : agents.http });
  }

  /** Sends the request and waits for the headers. */
  async function send(
    url: URL,
    headers: Record<string, string>,
    signal: AbortSignal | undefined,
    fresh = false,
  ) {
    signal?.throwIfAborted();
    const request = open(url, headers, fresh);
    const { promise, resolve: answered, reject: failed } = Promise.withResolvers<IncomingMessage>();
    request.once('response', answered);
    // Stays attached: a socket error after the headers is reported here as well as on the body.
    request.on('error', failed);
    const timer = setTimeout(() => request.destroy(stalled(options.idleTimeoutMs)), options.idleTimeoutMs);
    const abort = () => request.destroy(new Error('aborted'));
    signal?.addEventListener('abort', abort, { once: true });
    request.end();
    try {
      return { request, response: await promise };
    } catch (error) {
      signal?.throwIfAborted();
      // An idle connection was closed under our hands: that says nothing about the origin.
      if (request.reusedSocket && !(error instanceof UdmError)) return await send(url, headers, signal, true);
      if (error instanceof UdmError) throw error;
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
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
    }
  }

  return {
    async download(presigned, { start, end, ifMatch, signal } = {}) {
      const url = new URL(presigned.secret);
      const objection = refusePresigned(url, rules);
      if (objection !== undefined) throw refused(objection);
      const ranged = start !== undefined || end !== undefined;
      const { request, response } = await send(
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
        const status = response.statusCode ?? 0;
        if (status !== 200 && status !== 206)
          throw await refusedByOrigin(status, url, response, options.idleTimeoutMs);
        return describe({ request, response, url, status, start, ranged, ifMatch, signal });
      } catch (error) {
        response.destroy();
        throw error;
      }
    },
    close() {
      agents.http.destroy();
      agents.https.destroy();
    },
  };

  function describe(answer: {
    readonly request: ClientRequest;
    readonly response: IncomingMessage;
    readonly url: URL;
    readonly status: 200 | 206;
    readonly start: number | undefined;
    readonly ranged: boolean;
    readonly ifMatch: string | undefined;
    readonly signal: AbortSignal | undefined;
  }): Download {
    const { response, url, status } = answer;
    const { headers } = response;
    const encoding = headers['content-encoding'] ?? 'identity';
    if (encoding.trim().toLowerCase() !== 'identity')
      throw new UdmError('ERR_DOWNLOAD_ENCODED', endpoint, `${redactUrl(url)} came compressed in transit.`, {
        status,
        hint: 'The origin must serve the stored bytes as they are; a proxy in between may be compressing them.',
      });
    const length = wholeNumber(headers['content-length']);
    const etag = strongTag(headers.etag);
    if (answer.ifMatch !== undefined && etag !== undefined && etag !== answer.ifMatch)
      throw changed(url, status);
    const range = status === 206 ? parseContentRange(headers['content-range']) : undefined;
    if (status === 206 && (!answer.ranged || range?.start !== (answer.start ?? 0)))
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
    const modified = Date.parse(headers['last-modified'] ?? '');
    return {
      status,
      ...(length === undefined ? {} : { length }),
      ...(total === undefined ? {} : { total }),
      ...(etag === undefined ? {} : { etag }),
      ...(Number.isNaN(modified) ? {} : { lastModified: new Date(modified) }),
      body: readBody({ ...answer, length, idleTimeoutMs: options.idleTimeoutMs, redactor }),
      destroy: () => response.destroy(),
    };
  }
}

interface BodySource {
  readonly request: ClientRequest;
  readonly response: IncomingMessage;
  readonly url: URL;
  readonly length: number | undefined;
  readonly idleTimeoutMs: number;
  readonly signal: AbortSignal | undefined;
  readonly redactor: Redactor;
}

/** The body, pulled chunk by chunk; it ends well only if the origin ended it well. */
async function* readBody(source: BodySource): AsyncGenerator<Uint8Array, void, undefined> {
  const { request, response, url, length, signal } = source;
  let received = 0;
  // Only our waiting counts as the origin's silence: a slow consumer must not look like a stalled origin.
  let waiting = true;
  let broken: Error | undefined;
  request.on('error', (error) => (broken ??= error));
  const timer = setTimeout(() => {
    if (waiting) response.destroy(stalled(source.idleTimeoutMs));
    else timer.refresh();
  }, source.idleTimeoutMs);
  timer.unref();
  const abort = () => response.destroy();
  signal?.addEventListener('abort', abort, { once: true });
  try {
    signal?.throwIfAborted();
    const chunks: AsyncIterable<Buffer> = response;
    for await (const chunk of chunks) {
      received += chunk.byteLength;
      waiting = false;
      yield chunk;
      waiting = true;
      timer.refresh();
    }
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof UdmError) throw error;
    // A clean end of the connection before the announced length is told from one that broke.
    if (broken === undefined && length !== undefined && received < length)
      throw truncated(url, received, length);
    const cause = source.redactor.cause(broken ?? error);
    throw new UdmError(
      'ERR_DOWNLOAD_BROKEN',
      endpoint,
      `${redactUrl(url)} broke off after ${received} bytes.`,
      {
        cause,
        retryable: true,
        hint: 'The transfer is taken up again.',
      },
    );
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', abort);
    if (!response.complete) response.destroy();
  }
  if (length !== undefined && received < length) throw truncated(url, received, length);
}

function truncated(url: URL, received: number, length: number): UdmError {
  const message = `${redactUrl(url)} ended after ${received} of ${length} bytes.`;
  return new UdmError('ERR_DOWNLOAD_TRUNCATED', endpoint, message, {
    retryable: true,
    hint: 'The transfer is taken up again.',
  });
}

function stalled(idleTimeoutMs: number): UdmError {
  return new UdmError('ERR_DOWNLOAD_STALLED', endpoint, `the origin sent nothing for ${idleTimeoutMs} ms.`, {
    retryable: true,
    hint: 'The transfer is taken up again.',
  });
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
async function refusedByOrigin(
  status: number,
  url: URL,
  response: IncomingMessage,
  timeoutMs: number,
): Promise<UdmError> {
  const shown = redactUrl(url);
  if (status >= 300 && status < 400) return refused('its host redirects elsewhere');
  const xml = await readStart(response, timeoutMs);
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
async function readStart(response: IncomingMessage, timeoutMs: number): Promise<string> {
  const timer = setTimeout(() => response.destroy(), timeoutMs);
  let text = '';
  try {
    response.setEncoding('utf8');
    const chunks: AsyncIterable<string> = response;
    for await (const chunk of chunks) {
      text += chunk;
      if (text.length > errorBodyBytes) break;
    }
  } catch {
    // What has come so far must do.
  } finally {
    clearTimeout(timer);
  }
  return text;
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
