import { once } from 'node:events';
import { Agent as HttpAgent } from 'node:http';
import type { IncomingHttpHeaders } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import got, { TimeoutError } from 'got';
import pRetry from 'p-retry';
import type { Logger } from '../log.ts';
import { backoffMs, parseRetryAfter } from './backoff.ts';
import type { Deadline } from './deadline.ts';
import { UdmError } from './errors.ts';
import type { RateLimiter } from './rate-limit.ts';
import type { Redactor } from './redact.ts';

/** One operation as it goes over the wire. */
export interface HttpCall {
  /** As the reference writes it, for errors, logs and metrics: `GET /v10/export/jobs/{id}`. */
  readonly endpoint: string;
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  readonly url: URL;
  /** Asked before every attempt, since a token may have been renewed meanwhile. */
  readonly headers: () => Promise<Record<string, string>>;
  readonly body?: string | Uint8Array;
  /** Whether sending it twice does no harm. If not, it is sent once, and a doubtful end is an unknown outcome. */
  readonly repeatable: boolean;
  /** Whether a status that is otherwise retried (5xx, 429) is the answer itself. */
  readonly isAnswer?: (answer: Answer) => boolean;
  /** Nothing of the answer is ever shown, not even redacted: the token endpoint. */
  readonly confidential?: boolean;
}

/** A complete answer: the body is there, decompressed and within the limit. */
export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Uint8Array;
}

/** One attempt, as `onCall` sees it. */
export interface CallReport {
  readonly endpoint: string;
  /** Absent when no answer came. */
  readonly status?: number;
  readonly durationMs: number;
  /** Counted from 1. */
  readonly attempt: number;
}

export interface HttpOptions {
  readonly requestTimeoutMs: number;
  readonly maxBodyBytes: number;
  readonly backoffBaseMs: number;
  readonly limiter: RateLimiter | undefined;
  readonly redactor: Redactor;
  readonly logger: Logger;
  readonly onCall: ((report: CallReport) => void) | undefined;
}

/** Sends calls until they are answered: any status that is not worth another attempt is an answer. */
export interface Http {
  /** Throws ERR_UDM_UNAVAILABLE, ERR_UDM_TIMEOUT, ERR_UDM_UNKNOWN_OUTCOME, ERR_UDM_ANSWER or ERR_UDM_ANSWER_TOO_LARGE. */
  exchange(call: HttpCall, deadline: Deadline): Promise<Answer>;
  close(): void;
}

const maxRetries = 4;
const connectTimeoutMs = 10_000;

/**
 * The HTTP side of the client: got for the wire, p-retry for the attempts.
 *
 * The retry is p-retry's and not got's: every attempt must take its turn at the rate limit and fetch the current
 * token, and got does not retry the streams that are needed to cap a body while it is being decompressed.
 */
export function createHttp(options: HttpOptions): Http {
  const { redactor, logger } = options;
  const agent = {
    http: new HttpAgent({ keepAlive: true }),
    https: new HttpsAgent({ keepAlive: true }),
  };
  const client = got.extend({
    followRedirect: false,
    throwHttpErrors: false,
    retry: { limit: 0 },
    timeout: {
      connect: Math.min(connectTimeoutMs, options.requestTimeoutMs),
      request: options.requestTimeoutMs,
    },
    headers: { 'user-agent': 'udm-sync' },
  });

  async function receive(
    call: HttpCall,
    headers: Record<string, string>,
    signal: AbortSignal,
  ): Promise<Answer> {
    const stream = client.stream(call.url, {
      method: call.method,
      headers,
      signal,
      // An idle connection may be closed just as we write to it: harmless if the call can be repeated. What cannot
      // gets a connection of its own, so that a reset means something.
      agent: call.repeatable ? agent : { http: false, https: false },
      ...(call.method === 'GET' ? {} : { body: call.body ?? '' }),
    });
    // Errors reach us through `once` and the iterator; between the two nobody else listens.
    stream.on('error', () => undefined);
    try {
      await once(stream, 'response');
      const chunks: Uint8Array[] = [];
      let size = 0;
      for await (const chunk of stream) {
        if (!(chunk instanceof Uint8Array)) continue;
        size += chunk.byteLength;
        if (size > options.maxBodyBytes) throw tooLarge(call.endpoint, options.maxBodyBytes);
        chunks.push(chunk);
      }
      const { response } = stream;
      if (response === undefined) throw new Error('the connection gave no response');
      return { status: response.statusCode, headers: response.headers, body: Buffer.concat(chunks) };
    } catch (error) {
      throw mapFailure(call, error, wasConnected(call.url, stream.timings));
    } finally {
      stream.destroy();
    }
  }

  /** What went wrong on the wire, told apart by whether the upstream can have seen the request. */
  function mapFailure(call: HttpCall, error: unknown, sent: boolean): UdmError {
    const cause = redactor.cause(error);
    if (!call.repeatable && sent) return unknownOutcome(call.endpoint, cause.message, { cause });
    if (error instanceof UdmError) return error;
    const code = 'code' in cause && typeof cause.code === 'string' ? cause.code : '';
    if (code.startsWith('Z_') && code !== 'Z_BUF_ERROR')
      return new UdmError('ERR_UDM_ANSWER', call.endpoint, 'the compressed answer is damaged.', { cause });
    if (error instanceof TimeoutError && error.event === 'request')
      return new UdmError(
        'ERR_UDM_TIMEOUT',
        call.endpoint,
        `no answer within ${options.requestTimeoutMs} ms.`,
        {
          cause,
          retryable: true,
          hint: 'The upstream is slow; it is tried again later.',
        },
      );
    return new UdmError('ERR_UDM_UNAVAILABLE', call.endpoint, `no answer: ${cause.message}.`, {
      cause,
      retryable: true,
      hint: 'Check the base URL and the network between here and the upstream; it is tried again later.',
    });
  }

  async function attempt(call: HttpCall, deadline: Deadline, number: number): Promise<Answer> {
    const headers = await call.headers();
    await options.limiter?.take(deadline.signal);
    const started = performance.now();
    let status: number | undefined;
    try {
      const answer = await receive(call, headers, deadline.signal);
      status = answer.status;
      return answer;
    } finally {
      const durationMs = performance.now() - started;
      const report = { endpoint: call.endpoint, durationMs, attempt: number };
      options.onCall?.(status === undefined ? report : { ...report, status });
      logger.debug({ ...report, status }, 'upstream call');
    }
  }

  /** The statuses that another attempt may cure, as an error; undefined for an answer. */
  function transient(call: HttpCall, answer: Answer): UdmError | undefined {
    const { status } = answer;
    const curable =
      status === 408 || status === 429 || (status >= 500 && (status !== 501 || !call.repeatable));
    if (!curable || call.isAnswer?.(answer) === true) return undefined;
    const excerpt = call.confidential === true ? undefined : redactor.excerpt(answer.body);
    const details = { status, ...(excerpt === undefined ? {} : { excerpt }) };
    // A request turned away by the rate limit was not looked at.
    if (!call.repeatable && status !== 429) return unknownOutcome(call.endpoint, `HTTP ${status}`, details);
    return new UdmError(
      'ERR_UDM_UNAVAILABLE',
      call.endpoint,
      `the upstream answered ${status}${excerpt === undefined ? '' : ` (${excerpt})`}.`,
      {
        ...details,
        retryable: true,
        hint:
          status === 429
            ? 'Lower the requests per second of this tenant.'
            : 'The upstream is in trouble; it is tried again later.',
      },
    );
  }

  async function exchange(call: HttpCall, deadline: Deadline): Promise<Answer> {
    // The failure that this exchange itself may retry, and how long the upstream asked us to wait.
    let last: { readonly error: UdmError; readonly retryAfterMs: number | undefined } | undefined;

    async function run(number: number): Promise<Answer> {
      let answer: Answer;
      try {
        answer = await attempt(call, deadline, number);
      } catch (error) {
        if (error instanceof UdmError && error.endpoint === call.endpoint && error.retryable)
          last = { error, retryAfterMs: undefined };
        throw error;
      }
      const error = transient(call, answer);
      if (error === undefined) return answer;
      last = { error, retryAfterMs: parseRetryAfter(answer.headers['retry-after']) };
      throw error;
    }

    try {
      if (!call.repeatable) return await run(1);
      return await pRetry(run, {
        retries: maxRetries,
        // The wait is ours: p-retry knows neither full jitter nor Retry-After.
        minTimeout: 0,
        signal: deadline.signal,
        async shouldRetry({ error, attemptNumber }) {
          if (error !== last?.error) return false;
          const wait = backoffMs(attemptNumber, options.backoffBaseMs, last.retryAfterMs);
          if (wait >= deadline.remaining()) return false;
          logger.debug(
            { endpoint: call.endpoint, code: last.error.code, attempt: attemptNumber, waitMs: wait },
            'retry',
          );
          await sleep(wait, undefined, { signal: deadline.signal });
          return true;
        },
      });
    } catch (error) {
      // Whatever the abort broke off, its reason is what the caller wants to see; but that a call may have been
      // carried out is more than that it was broken off.
      if (!(error instanceof UdmError && error.code === 'ERR_UDM_UNKNOWN_OUTCOME'))
        deadline.signal.throwIfAborted();
      throw error;
    }
  }

  return {
    exchange,
    close() {
      agent.http.destroy();
      agent.https.destroy();
    },
  };
}

/** Whether the connection (and TLS) stood, so that the request may have been read by someone. */
function wasConnected(
  url: URL,
  timings: { readonly connect?: number | undefined; readonly secureConnect?: number | undefined } | undefined,
): boolean {
  return (url.protocol === 'https:' ? timings?.secureConnect : timings?.connect) !== undefined;
}

function tooLarge(endpoint: string, limit: number): UdmError {
  return new UdmError('ERR_UDM_ANSWER_TOO_LARGE', endpoint, `the answer is larger than ${limit} bytes.`, {
    hint: 'No answer of this API should be that large: check that the base URL points at UDM.',
  });
}

function unknownOutcome(
  endpoint: string,
  what: string,
  details: { readonly cause?: Error; readonly status?: number; readonly excerpt?: string },
): UdmError {
  return new UdmError(
    'ERR_UDM_UNKNOWN_OUTCOME',
    endpoint,
    `sent, but nobody knows whether it was done: ${what}.`,
    {
      ...details,
      retryable: true,
      hint: 'The worker looks upstream for what the call may have made before it sends it again.',
    },
  );
}
