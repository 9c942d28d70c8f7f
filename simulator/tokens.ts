import { randomUUID } from 'node:crypto';
import { type Answer, jsonAnswer } from './answer.ts';
import type { SimClock } from './clock.ts';
import type { TenantCredentials } from './options.ts';

/** POST /auth/v3/oauth/token, and the tokens it gave out. */
export class Tokens {
  readonly #clock: SimClock;
  readonly #lifetime: number;
  readonly #access = new Map<string, { readonly tenant: string; readonly expiresAt: number }>();
  readonly #refresh = new Map<string, string>();

  /** @param lifetime simulated seconds. */
  constructor(clock: SimClock, lifetime: number) {
    this.#clock = clock;
    this.#lifetime = lifetime;
  }

  /** Whether the token is good for this tenant now. */
  accepts(token: string, tenant: string): boolean {
    const known = this.#access.get(token);
    return known?.tenant === tenant && known.expiresAt > this.#clock.now();
  }

  revoke(token: string): void {
    this.#access.delete(token);
  }

  grant(tenant: TenantCredentials, authorization: string | undefined, form: URLSearchParams): Answer {
    const basic = Buffer.from(`${tenant.clientId}:${tenant.clientSecret}`).toString('base64');
    if (authorization?.replace(/^basic /i, '') !== basic) return badClient();
    switch (form.get('grant_type')) {
      case 'password': {
        const user = form.get('username') === `${tenant.name}\\${tenant.username}`;
        return user && form.get('password') === tenant.password
          ? this.#issue(tenant, true)
          : badGrant('Bad credentials');
      }
      case 'refresh_token': {
        const token = form.get('refresh_token') ?? '';
        if (this.#refresh.get(token) !== tenant.name) return badGrant('Invalid refresh token');
        this.#refresh.delete(token);
        return this.#issue(tenant, true);
      }
      case 'client_credentials':
        return this.#issue(tenant, false);
      default:
        return jsonAnswer(400, {
          error: 'unsupported_grant_type',
          error_description: 'Unsupported grant type',
        });
    }
  }

  #issue(tenant: TenantCredentials, refreshable: boolean): Answer {
    const access = randomUUID();
    this.#access.set(access, { tenant: tenant.name, expiresAt: this.#clock.now() + this.#lifetime * 1000 });
    const refresh = randomUUID();
    if (refreshable) this.#refresh.set(refresh, tenant.name);
    return jsonAnswer(
      200,
      {
        access_token: access,
        expires_in: this.#lifetime,
        ...(refreshable ? { refresh_token: refresh } : {}),
        scope: '*',
        token_type: 'bearer',
      },
      { 'cache-control': 'no-store', pragma: 'no-cache' },
    );
  }
}

const badClient = () => jsonAnswer(401, { error: 'Unauthorized', error_description: 'Bad credentials' });
const badGrant = (why: string) => jsonAnswer(400, { error: 'invalid_grant', error_description: why });
