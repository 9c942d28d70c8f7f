import type { z } from 'zod';
import type { TokenSource } from './auth.ts';
import { withDeadline } from './deadline.ts';
import { UdmError } from './errors.ts';
import type { Answer, Http, HttpCall } from './http.ts';
import { JsonProblem, parseJson, tryJson } from './json.ts';
import { encodeQuery, fillRoute } from './path.ts';
import type { Query } from './path.ts';
import type { Redactor } from './redact.ts';
import { isMissing, refusal } from './refusal.ts';
import { unwrap } from './shapes.ts';

/** One operation of the reference, with its values. */
export interface ApiCall {
  readonly method: HttpCall['method'];
  /** As the reference writes it: `/v10/export/jobs/{id}`. */
  readonly route: string;
  readonly params?: Readonly<Record<string, string>>;
  readonly query?: Query;
  readonly body?: string | Uint8Array;
  readonly contentType?: string;
  /** Sent without a token: GET /v10/version only. */
  readonly anonymous?: boolean;
  /** False for what must not be sent twice. */
  readonly repeatable?: boolean;
  /** Statuses outside 2xx that the operation reads itself. */
  readonly isAnswer?: (answer: Answer) => boolean;
  /** A good answer holds credentials (pre-signed URLs): nothing of it is shown, not even redacted. */
  readonly confidential?: boolean;
  readonly signal: AbortSignal | undefined;
}

/** Calls to UDM with token, API key, retries and errors taken care of. */
export interface Api {
  /** Resolves with a 2xx answer, or with one that the call wants to read itself. */
  send(call: ApiCall): Promise<Answer>;
  /** Sends a call whose answer carries nothing; false on 404 if the call takes that for an answer. */
  done(call: ApiCall): Promise<boolean>;
  /** Sends a call and parses what is inside the envelope; nothing (204) is undefined to the schema. */
  get<T>(call: ApiCall, schema: z.ZodType<T>): Promise<T>;
  /** The same for a single thing that may not be there: 404 and 204 are undefined. */
  find<T>(call: ApiCall, schema: z.ZodType<T>): Promise<T | undefined>;
  /** Parses an answer at hand. Throws ERR_UDM_ANSWER, naming the field. */
  read<T>(call: ApiCall, answer: Answer, schema: z.ZodType<T>): T;
}

export interface ApiOptions {
  /** Base URL and UDM path, without a slash at the end. */
  readonly root: string;
  readonly apiKey: string;
  readonly http: Http;
  readonly tokens: TokenSource;
  readonly redactor: Redactor;
  readonly timeoutMs: number;
}

export function createApi({ root, apiKey, http, tokens, redactor, timeoutMs }: ApiOptions): Api {
  async function send(call: ApiCall): Promise<Answer> {
    const endpoint = endpointOf(call);
    const url = new URL(root + fillRoute(endpoint, call.route, call.params) + encodeQuery(call.query));
    return withDeadline(endpoint, timeoutMs, call.signal, async (deadline) => {
      let token: string | undefined;
      const request: HttpCall = {
        endpoint,
        method: call.method,
        url,
        async headers() {
          if (call.anonymous !== true) token = await tokens.get(deadline.signal);
          return {
            accept: 'application/json',
            'x-api-key': apiKey,
            ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
            ...(call.contentType === undefined ? {} : { 'content-type': call.contentType }),
          };
        },
        repeatable: call.repeatable ?? true,
        ...(call.body === undefined ? {} : { body: call.body }),
        ...(call.isAnswer === undefined ? {} : { isAnswer: call.isAnswer }),
      };
      let answer = await http.exchange(request, deadline);
      // A 401 was not carried out, so even a call that must not be repeated may be sent once more.
      if (answer.status === 401 && token !== undefined && (await tokens.replace(token, deadline.signal)))
        answer = await http.exchange(request, deadline);
      if (answer.status >= 200 && answer.status < 300) return answer;
      if (call.isAnswer?.(answer) === true) return answer;
      throw refusal(endpoint, answer, redactor);
    });
  }

  function unreadable(call: ApiCall, answer: Answer, problem: string): UdmError {
    const excerpt = call.confidential === true ? undefined : redactor.excerpt(answer.body);
    const message = `the answer ${problem}${excerpt === undefined ? '' : `: ${excerpt}`}`;
    return new UdmError('ERR_UDM_ANSWER', endpointOf(call), message, {
      status: answer.status,
      ...(excerpt === undefined ? {} : { excerpt }),
      hint: 'The upstream answers in a shape this version does not know; report it with this message.',
    });
  }

  function assertSuccess(call: ApiCall, answer: Answer, body: unknown): void {
    const { failure } = unwrap(body);
    if (failure !== undefined) throw unreadable(call, answer, `reports status code ${failure.code}`);
  }

  function read<T>(call: ApiCall, answer: Answer, schema: z.ZodType<T>): T {
    let body: unknown;
    try {
      body = answer.body.byteLength === 0 ? undefined : parseJson(answer.body);
    } catch (error) {
      if (error instanceof JsonProblem) throw unreadable(call, answer, error.message);
      throw error;
    }
    assertSuccess(call, answer, body);
    const { data, path } = unwrap(body);
    const parsed = schema.safeParse(data);
    if (parsed.success) return parsed.data;
    const issue = parsed.error.issues[0];
    const field = fieldPath([...(path === '' ? [] : [path]), ...(issue?.path ?? [])]);
    throw unreadable(call, answer, `cannot be understood at ${field} (${issue?.message ?? 'unknown shape'})`);
  }

  return {
    send,
    read,
    async done(call) {
      const answer = await send(call);
      if (answer.status >= 300) return false;
      assertSuccess(call, answer, tryJson(answer.body));
      return true;
    },
    async get(call, schema) {
      return read(call, await send(call), schema);
    },
    async find(call, schema) {
      const answer = await send({ ...call, isAnswer: isMissing });
      return answer.status >= 300 || answer.body.byteLength === 0
        ? undefined
        : (read(call, answer, schema.nullish()) ?? undefined);
    },
  };
}

export function endpointOf(call: { readonly method: string; readonly route: string }): string {
  return `${call.method} ${call.route}`;
}

/** `data.items[3].id`, or `the body` for the whole. */
function fieldPath(path: readonly PropertyKey[]): string {
  if (path.length === 0) return 'the body';
  return path
    .map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`))
    .join('')
    .replace(/^\./, '');
}
