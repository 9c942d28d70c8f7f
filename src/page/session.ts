import { createHash, createHmac, randomBytes, scryptSync, timingSafeEqual } from 'node:crypto';

/** How long somebody who has shown the token may act, in ms. */
export const sessionMs = 12 * 3_600_000;

/**
 * Sessions of those who have shown the token. Nothing is kept: a session is signed with a key derived from the token,
 * so that every replica knows it, and a new token ends them all.
 */
export class Sessions {
  readonly #token: Buffer;
  readonly #key: Buffer;

  constructor(token: string) {
    this.#token = digest(token);
    // Slow on purpose: a stolen session must not serve to try tokens at leisure.
    this.#key = scryptSync(token, 'udm-sync status page', 32);
  }

  /** Whether this is the token, in a time that tells nothing. */
  admits(given: string): boolean {
    return timingSafeEqual(digest(given), this.#token);
  }

  /** A new session, for a cookie. */
  begin(nowMs: number): string {
    const content = `${nowMs + sessionMs}.${randomBytes(16).toString('base64url')}`;
    return `${content}.${this.#sign('session', content)}`;
  }

  /** Whether a session is one of ours and not over. */
  holds(session: string, nowMs: number): boolean {
    const [, content = '', until = '', signature = ''] =
      /^((\d{1,16})\.[\w-]{1,64})\.([\w-]{1,64})$/.exec(session) ?? [];
    return content !== '' && same(signature, this.#sign('session', content)) && Number(until) > nowMs;
  }

  /** What the forms of a session carry: other sites cannot know it. */
  formToken(session: string): string {
    return this.#sign('form', session);
  }

  /** Whether a form came from a page of this session. */
  formIsOurs(session: string, given: string): boolean {
    return same(given, this.formToken(session));
  }

  #sign(purpose: 'session' | 'form', text: string): string {
    return createHmac('sha256', this.#key).update(`${purpose}:${text}`).digest('base64url');
  }
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

function same(a: string, b: string): boolean {
  return timingSafeEqual(digest(a), digest(b));
}

export const cookieName = 'udm_sync_session';

/** The session among the cookies of a request; empty if there is none. */
export function sessionIn(cookies: string | undefined): string {
  for (const cookie of (cookies ?? '').split(';')) {
    const [name, value] = cookie.split('=', 2);
    if (name?.trim() === cookieName) return value?.trim() ?? '';
  }
  return '';
}

/** The Set-Cookie line that begins a session; without one, that ends it. */
export function sessionCookie(session: string | undefined, secure: boolean): string {
  const seconds = session === undefined ? 0 : sessionMs / 1000;
  return `${cookieName}=${session ?? ''}; Path=/; HttpOnly; SameSite=Strict; Max-Age=${seconds}${secure ? '; Secure' : ''}`;
}
