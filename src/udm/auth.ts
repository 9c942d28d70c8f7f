import type { Logger } from '../log.ts';
import { unlessAborted, withDeadline } from './deadline.ts';
import { UdmError } from './errors.ts';
import type { Answer, Http } from './http.ts';
import { tryJson } from './json.ts';
import type { Redactor } from './redact.ts';
import { isWrongApiKey, refusal, wrongApiKey } from './refusal.ts';
import { tokenSchema, unwrap } from './shapes.ts';

/** How this program identifies itself to the Authentication API. */
export type UdmAuth =
  | {
      readonly grant: 'password';
      readonly clientId: string;
      readonly clientSecret: string;
      /** `tenant\user` */
      readonly username: string;
      readonly password: string;
    }
  | { readonly grant: 'client_credentials'; readonly clientId: string; readonly clientSecret: string }
  | {
      readonly grant: 'refresh_token';
      readonly clientId: string;
      readonly clientSecret: string;
      readonly refreshToken: string;
    }
  /** A token made elsewhere; it cannot be renewed. */
  | { readonly grant: 'token'; readonly token: string };

/** The current access token. However many ask at once, one request is sent. */
export interface TokenSource {
  /** A token that is not about to expire. The signal ends the waiting, not the request the others wait for. */
  get(signal: AbortSignal): Promise<string>;
  /** After a 401: makes sure the next `get` gives another token than this one; false if none can be had. */
  replace(refused: string, signal: AbortSignal): Promise<boolean>;
  /** Asks for a new token now. A fixed token has nothing to ask. */
  renew(signal: AbortSignal): Promise<void>;
}

export interface TokenSourceOptions {
  readonly auth: UdmAuth;
  /** Where POST /auth/v3/oauth/token lies. */
  readonly tokenUrl: URL;
  readonly apiKey: string;
  readonly http: Http;
  readonly timeoutMs: number;
  readonly redactor: Redactor;
  readonly logger: Logger;
  /** Monotonic clock in ms. */
  readonly now?: () => number;
}

const endpoint = 'POST /auth/v3/oauth/token';
/** A token is renewed this long before it expires, or a tenth of its life for short ones. */
const marginMs = 60_000;

interface AccessToken {
  readonly value: string;
  /** On the monotonic clock. */
  readonly renewAt: number;
}

/** POST /auth/v3/oauth/token: gets, keeps and renews the access token of one tenant. */
export function createTokenSource(options: TokenSourceOptions): TokenSource {
  const { auth, redactor, logger } = options;
  if (auth.grant === 'token') return fixedToken(auth.token);
  const now = options.now ?? (() => performance.now());
  const basic = Buffer.from(`${auth.clientId}:${auth.clientSecret}`).toString('base64');
  redactor.add(basic);
  let refreshToken = auth.grant === 'refresh_token' ? auth.refreshToken : undefined;
  let current: AccessToken | undefined;
  let pending: Promise<AccessToken> | undefined;

  async function post(form: Readonly<Record<string, string>>): Promise<Answer> {
    return withDeadline(endpoint, options.timeoutMs, undefined, (deadline) =>
      options.http.exchange(
        {
          endpoint,
          method: 'POST',
          url: options.tokenUrl,
          headers: () =>
            Promise.resolve({
              accept: 'application/json',
              'content-type': 'application/x-www-form-urlencoded',
              'x-api-key': options.apiKey,
              authorization: `Basic ${basic}`,
            }),
          body: new URLSearchParams(form).toString(),
          repeatable: true,
          confidential: true,
        },
        deadline,
      ),
    );
  }

  /** The form of the grant that is configured; a refresh token is tried before it, where there is one. */
  function grantForm(): Record<string, string> | undefined {
    if (auth.grant === 'password')
      return { grant_type: 'password', username: auth.username, password: auth.password };
    return auth.grant === 'client_credentials' ? { grant_type: 'client_credentials' } : undefined;
  }

  async function request(): Promise<AccessToken> {
    const form = grantForm();
    if (refreshToken !== undefined) {
      const answer = await post({ grant_type: 'refresh_token', refresh_token: refreshToken });
      if (answer.status === 200 || form === undefined) return accept(answer);
      // Refresh tokens end too; the user name and password still hold.
      logger.debug({ endpoint, status: answer.status }, 'refresh token refused, using the password');
      refreshToken = undefined;
    }
    return accept(await post(form ?? {}));
  }

  function accept(answer: Answer): AccessToken {
    if (answer.status !== 200) throw tokenRefusal(answer);
    const parsed = tokenSchema.safeParse(unwrap(tryJson(answer.body)).data);
    if (!parsed.success) {
      const field = parsed.error.issues[0]?.path.join('.') ?? '';
      // Whatever is in that body, it may be a token: none of it is shown.
      throw new UdmError(
        'ERR_UDM_ANSWER',
        endpoint,
        `the answer cannot be understood at ${field || 'the body'}.`,
        {
          status: answer.status,
          hint: 'Check that the base URL points at the Genesys API gateway.',
        },
      );
    }
    const { accessToken, expiresIn } = parsed.data;
    redactor.add(accessToken);
    if (parsed.data.refreshToken !== undefined) redactor.add(parsed.data.refreshToken);
    // Client credentials can always be presented again; a refresh token would only add a way to fail.
    if (auth.grant !== 'client_credentials') refreshToken = parsed.data.refreshToken ?? refreshToken;
    const life = (expiresIn ?? Number.POSITIVE_INFINITY) * 1000;
    logger.debug({ endpoint, expiresIn }, 'new access token');
    return { value: accessToken, renewAt: now() + Math.max(life - marginMs, life * 0.9) };
  }

  function tokenRefusal(answer: Answer): UdmError {
    if (isWrongApiKey(answer)) return wrongApiKey(endpoint);
    const { status } = answer;
    const body = tryJson(answer.body);
    const word = typeof body === 'object' && body !== null && 'error' in body ? body.error : undefined;
    if (word === 'invalid_grant')
      return new UdmError('ERR_UDM_USER_CREDENTIALS', endpoint, 'the user credentials were not accepted.', {
        status,
        hint:
          auth.grant === 'refresh_token'
            ? 'The refresh token has expired or was used elsewhere: sign in again to get a new one.'
            : 'Check user name (tenant\\user) and password, and that the user may sign in.',
      });
    if (status === 401 || word === 'invalid_client')
      return new UdmError(
        'ERR_UDM_CLIENT_CREDENTIALS',
        endpoint,
        'the client credentials were not accepted.',
        {
          status,
          hint: 'Check client id and client secret; Genesys Customer Care issues them for each tenant.',
        },
      );
    // Of what else such a body may hold, only the word the standard prescribes is shown.
    const shown = typeof word === 'string' && /^\w{1,40}$/.test(word) ? word : '';
    // A bad request of a caller is its own fault; this one is nobody's but the settings'.
    if (status === 400)
      return new UdmError(
        'ERR_UDM_CLIENT_CREDENTIALS',
        endpoint,
        `the token request was refused with 400${shown === '' ? '' : `: ${shown}`}.`,
        { status, hint: "Check the tenant's auth.grant, and that the client id may use it." },
      );
    return refusal(endpoint, { ...answer, body: Buffer.from(shown) }, redactor);
  }

  /** The request all callers share, begun if there is none. */
  function renewal(): Promise<AccessToken> {
    if (pending !== undefined) return pending;
    const mine = request().then(
      (token) => {
        current = token;
        pending = undefined;
        return token;
      },
      (error: unknown) => {
        pending = undefined;
        throw error;
      },
    );
    // Everyone who waited may have given up by the time it fails.
    mine.catch(() => undefined);
    pending = mine;
    return mine;
  }

  return {
    async get(signal) {
      if (current !== undefined && now() < current.renewAt) return current.value;
      return (await unlessAborted(renewal(), signal)).value;
    },
    async replace(refused, signal) {
      // Another caller may have got a new one while our 401 was on its way.
      if (current?.value === refused) current = undefined;
      if (current === undefined) await unlessAborted(renewal(), signal);
      return true;
    },
    async renew(signal) {
      await unlessAborted(renewal(), signal);
    },
  };
}

function fixedToken(token: string): TokenSource {
  return {
    get: () => Promise.resolve(token),
    replace: () => Promise.resolve(false),
    renew: () => Promise.resolve(),
  };
}
