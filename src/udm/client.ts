import { UsageError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { isLoopbackHost } from './address.ts';
import { createApi } from './api.ts';
import { createTokenSource } from './auth.ts';
import type { UdmAuth } from './auth.ts';
import { cipherOperations } from './cipher.ts';
import { dataOperations } from './data.ts';
import { withDeadline } from './deadline.ts';
import { createDownloader } from './download.ts';
import type { ResolvedAddress } from './download.ts';
import { jobOperations } from './export-jobs.ts';
import { fileOperations } from './files.ts';
import { historyOperations } from './history.ts';
import { createHttp } from './http.ts';
import type { CallReport } from './http.ts';
import { createRateLimiter } from './rate-limit.ts';
import { createRedactor } from './redact.ts';
import { resourceOperations } from './resources.ts';
import type { UdmClient } from './types.ts';

/** Settings of the second hop, from the upstream's redirect to the storage. */
export interface DownloadSettings {
  /** Hosts that files may come from: exact names or `*.suffix`. Any public host if absent or empty. */
  readonly allowedHosts?: readonly string[];
  /** Lets downloads go to loopback and private addresses, and there also without TLS. Never to link-local ones. */
  readonly allowPrivateAddresses?: boolean;
  /** How long the storage may send nothing, in ms. Default 60 000. */
  readonly idleTimeoutMs?: number;
  /** Resolves names to all their addresses. The system's resolver by default. */
  readonly resolve?: (hostname: string) => Promise<readonly ResolvedAddress[]>;
}

export interface UdmClientOptions {
  /** Name of the tenant, for the log. */
  readonly tenant: string;
  /** For example `https://gapi-use1.genesyscloud.com`. */
  readonly baseUrl: string;
  /** Where UDM lies below the base URL. Default `/udm`. */
  readonly udmPath?: string;
  /** The Authentication API, to which `/oauth/token` is added. Default `{baseUrl}/auth/v3`. */
  readonly authUrl?: string;
  readonly apiKey: string;
  readonly auth: UdmAuth;
  /** Upper bound of this process's calls to this tenant; unlimited if absent. */
  readonly requestsPerSecond?: number;
  /** Deadline of one call with all its attempts, in ms. Default 60 000. */
  readonly timeoutMs?: number;
  /** Limit of one attempt, in ms. Default 30 000. */
  readonly requestTimeoutMs?: number;
  /** Upper bound of the first wait between attempts, in ms; it doubles with each. Default 500. */
  readonly backoffBaseMs?: number;
  /** Largest JSON answer taken, in bytes after decompression. Default 16 MiB. */
  readonly maxBodyBytes?: number;
  readonly download?: DownloadSettings;
  /** Items of a list asked for at once. Default 100. */
  readonly pageSize?: number;
  readonly logger: Logger;
  /** Called after every attempt, for metrics. */
  readonly onCall?: (report: CallReport) => void;
}

/**
 * The client of one tenant: every operation of `UdmClient` over HTTP.
 *
 * Calls reject with `UdmError`, or with the reason of the caller's own signal. Throws `UsageError` for settings that
 * cannot work.
 */
export function createUdmClient(options: UdmClientOptions): UdmClient {
  const { apiKey, auth, timeoutMs = 60_000, pageSize = 100, download = {} } = options;
  const base = parseBase('base URL', options.baseUrl);
  const authBase = parseBase('auth URL', options.authUrl ?? `${trimSlash(base.href)}/auth/v3`);
  const root = trimSlash(`${trimSlash(base.href)}/${(options.udmPath ?? '/udm').replace(/^\/+/, '')}`);
  assertHeaderValue('API key', apiKey);
  if (auth.grant === 'token') assertHeaderValue('token', auth.token);

  const logger = options.logger.child({ tenant: options.tenant });
  if (base.protocol === 'http:' && !isLoopbackHost(base.hostname))
    logger.warn({ host: base.host }, 'the base URL is not https: credentials travel in the clear');
  const redactor = createRedactor([apiKey, ...secretsOf(auth)]);
  const http = createHttp({
    requestTimeoutMs: options.requestTimeoutMs ?? 30_000,
    maxBodyBytes: options.maxBodyBytes ?? 16 * 1024 * 1024,
    backoffBaseMs: options.backoffBaseMs ?? 500,
    limiter:
      options.requestsPerSecond === undefined ? undefined : createRateLimiter(options.requestsPerSecond),
    redactor,
    logger,
    onCall: options.onCall,
  });
  const tokenUrl = new URL(`${trimSlash(authBase.href)}/oauth/token`);
  const tokens = createTokenSource({ auth, tokenUrl, apiKey, http, timeoutMs, redactor, logger });
  const api = createApi({ root, apiKey, http, tokens, redactor, timeoutMs });
  const allowPrivate = download.allowPrivateAddresses ?? false;
  const downloader = createDownloader({
    rules: {
      allowedHosts: download.allowedHosts,
      // An upstream on this very machine is a simulator, and its storage is here too.
      addresses: { private: allowPrivate, loopback: allowPrivate || isLoopbackHost(base.hostname) },
    },
    idleTimeoutMs: download.idleTimeoutMs ?? 60_000,
    redactor,
    ...(download.resolve === undefined ? {} : { resolve: download.resolve }),
  });

  return {
    ...cipherOperations(api),
    ...dataOperations(api),
    ...historyOperations(api, pageSize),
    ...jobOperations(api, pageSize),
    ...fileOperations(api, downloader, root, pageSize),
    ...resourceOperations(api),
    checkToken: (signal) =>
      withDeadline('POST /auth/v3/oauth/token', timeoutMs, signal, (deadline) =>
        tokens.renew(deadline.signal),
      ),
    close() {
      http.close();
      downloader.close();
    },
  };
}

function parseBase(what: string, text: string): URL {
  const url = URL.parse(text);
  // The text may hold a password, so it is not quoted.
  if (url === null || !['https:', 'http:'].includes(url.protocol))
    throw new UsageError(`The ${what} is not an http(s) URL.`, {
      hint: 'Write it like https://gapi-use1.genesyscloud.com',
    });
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '')
    throw new UsageError(`The ${what} carries a user, a query or a fragment.`, {
      hint: 'Only scheme, host and path belong there.',
    });
  return url;
}

function assertHeaderValue(what: string, value: string): void {
  if (/^[\x21-\x7e]+$/.test(value)) return;
  throw new UsageError(`The ${what} is empty or holds characters that no header can carry.`, {
    hint: 'Look for a line break or a blank around it.',
  });
}

function trimSlash(url: string): string {
  return url.replace(/\/+$/, '');
}

function secretsOf(auth: UdmAuth): readonly string[] {
  switch (auth.grant) {
    case 'password':
      return [auth.clientSecret, auth.password];
    case 'client_credentials':
      return [auth.clientSecret];
    case 'refresh_token':
      return [auth.clientSecret, auth.refreshToken];
    case 'token':
      return [auth.token];
  }
}
