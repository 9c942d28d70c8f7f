import { isObject } from './json.ts';

/** What a fault does to one request. `afterBytes` defaults to half of the body. */
export type FaultEffect =
  /** Answers this instead; nothing else happens. */
  | {
      readonly kind: 'status';
      readonly status: number;
      readonly body?: unknown;
      readonly headers?: Readonly<Record<string, string>>;
    }
  /** Waits so many real ms, then goes on. */
  | { readonly kind: 'delay'; readonly ms: number }
  /** `reset`: connection dies before anything happens. `lost-answer`: it happens, then the connection dies. */
  | { readonly kind: 'reset' | 'lost-answer' }
  /** Body ends early: by a reset, by a clean end despite Content-Length, or by a clean end of a chunked body. */
  | { readonly kind: 'reset-mid-body' | 'truncate' | 'truncate-chunked'; readonly afterBytes?: number }
  /** The pre-signed URL handed out, or the one presented, is too old. */
  | { readonly kind: 'expired-url' }
  /** A list answers the page before the one asked for. */
  | { readonly kind: 'duplicate-page' }
  /** The presented token is revoked for good. */
  | { readonly kind: 'token-revoked' }
  /** A gateway's 502 page; nothing else happens. */
  | { readonly kind: 'html' }
  /** It happens, but the answer is JSON of no known shape. */
  | { readonly kind: 'wrong-json'; readonly body?: unknown }
  /** A whole body for a range, a body without Content-Length, an answer without ETag. */
  | { readonly kind: 'ignore-range' | 'no-length' | 'no-etag' }
  /** The file has another content and ETag from now on. */
  | { readonly kind: 'changed' }
  /** A list-delete leaves every name or id that contains `names` (default: the first one of the list). */
  | { readonly kind: 'partial-delete'; readonly names?: string }
  /** On POST /v10/export/jobs: what becomes of the job it makes, at `atProgress` (default 50). */
  | {
      readonly kind: 'job-fails' | 'job-cancelled' | 'job-vanishes' | 'unknown-status';
      readonly atProgress?: number;
      readonly reason?: string;
      readonly word?: string;
    };

export type FaultKind = FaultEffect['kind'];

/** Which requests a fault hits, and what it does to them. */
export type FaultRule = FaultEffect & {
  /**
   * A method with a path template of the reference (`POST /v10/export/jobs`, `GET /v10/files/{filename}`,
   * `POST /auth/v3/oauth/token`, `GET /s3/{filename}` for the origin), or a pattern tried on that and on the
   * method with the decoded path (`GET /s3/a name.zip.smime`).
   */
  readonly endpoint: string | RegExp;
  /** From the nth matching request on, `times` times (default once). */
  readonly nth?: number;
  /** Every so many matching requests. */
  readonly every?: number;
  /** At most so many times. */
  readonly times?: number;
};

const KINDS: readonly FaultKind[] = [
  'status', 'delay', 'reset', 'lost-answer', 'reset-mid-body', 'truncate', 'truncate-chunked', 'expired-url',
  'duplicate-page', 'token-revoked', 'html', 'wrong-json', 'ignore-range', 'no-length', 'no-etag', 'changed',
  'partial-delete', 'job-fails', 'job-cancelled', 'job-vanishes', 'unknown-status',
]; // prettier-ignore

export interface AddedFault {
  readonly id: number;
  /** Requests the rule matched, hit or not. */
  readonly matched: number;
  /** Requests it hit. */
  readonly fired: number;
  remove(): void;
}

interface Armed {
  readonly id: number;
  readonly rule: FaultRule;
  matched: number;
  fired: number;
}

/** The faults in force. Rules are tried in the order they were added; all that hit apply together. */
export class Faults {
  readonly #armed = new Map<number, Armed>();
  #lastId = 0;

  add(rule: FaultRule): AddedFault {
    const armed: Armed = { id: ++this.#lastId, rule, matched: 0, fired: 0 };
    this.#armed.set(armed.id, armed);
    return {
      id: armed.id,
      get matched() {
        return armed.matched;
      },
      get fired() {
        return armed.fired;
      },
      remove: () => void this.#armed.delete(armed.id),
    };
  }

  remove(id: number): boolean {
    return this.#armed.delete(id);
  }

  clear(): void {
    this.#armed.clear();
  }

  list(): {
    readonly id: number;
    readonly rule: FaultRule;
    readonly matched: number;
    readonly fired: number;
  }[] {
    return [...this.#armed.values()].map((armed) => ({ ...armed }));
  }

  /** Counts a request against every rule and answers those that hit it. */
  hit(method: string, template: string, path: string): FiredFaults {
    const effects: FaultEffect[] = [];
    for (const armed of this.#armed.values()) {
      if (!matches(armed.rule.endpoint, method, template, path)) continue;
      armed.matched += 1;
      if (!isDue(armed)) continue;
      armed.fired += 1;
      effects.push(armed.rule);
    }
    return new FiredFaults(effects);
  }
}

/** The faults that hit one request. */
export class FiredFaults {
  readonly effects: readonly FaultEffect[];

  constructor(effects: readonly FaultEffect[]) {
    this.effects = effects;
  }

  has(kind: FaultKind): boolean {
    return this.effects.some((effect) => effect.kind === kind);
  }

  get<K extends FaultKind>(...kinds: K[]): Extract<FaultEffect, { kind: K }> | undefined {
    return this.effects.find((effect): effect is Extract<FaultEffect, { kind: K }> =>
      (kinds as readonly string[]).includes(effect.kind),
    );
  }
}

function matches(endpoint: string | RegExp, method: string, template: string, path: string): boolean {
  if (typeof endpoint === 'string') return endpoint === `${method} ${template}`;
  return [`${method} ${template}`, `${method} ${path}`].some((text) => text.search(endpoint) >= 0);
}

function isDue({ rule, matched, fired }: Armed): boolean {
  if (rule.nth !== undefined) return matched >= rule.nth && fired < (rule.times ?? 1);
  if (fired >= (rule.times ?? Infinity)) return false;
  return rule.every === undefined || matched % rule.every === 0;
}

/** Reads a rule that came as JSON; an endpoint written `/…/` is a pattern. Answers what is wrong with it otherwise. */
export function readFaultRule(value: unknown): FaultRule | string {
  if (!isObject(value)) return 'a fault is a JSON object';
  const { endpoint, kind } = value;
  if (typeof endpoint !== 'string') return 'endpoint must be a string';
  if (!KINDS.some((known) => known === kind)) return `kind must be one of ${KINDS.join(', ')}`;
  if (kind === 'status' && typeof value['status'] !== 'number') return 'kind "status" needs a status';
  if (kind === 'delay' && typeof value['ms'] !== 'number') return 'kind "delay" needs ms';
  for (const field of ['nth', 'every', 'times', 'afterBytes', 'atProgress']) {
    const number = value[field];
    if (number !== undefined && !(typeof number === 'number' && number >= 0))
      return `${field} must be a number`;
  }
  const pattern = /^\/(.+)\/$/.exec(endpoint)?.[1];
  try {
    return {
      ...value,
      endpoint: pattern === undefined ? endpoint : new RegExp(pattern),
    } as unknown as FaultRule;
  } catch {
    return `endpoint is not a valid pattern: ${endpoint}`;
  }
}
