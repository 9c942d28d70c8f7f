import type { Answer } from './answer.ts';
import type { SimClock } from './clock.ts';
import type { FiredFaults } from './faults.ts';
import type { Settings } from './options.ts';
import type { Presigner } from './presign.ts';
import type { RequestRecord } from './records.ts';
import type { Shaper } from './shapes.ts';
import type { Tenant } from './tenant.ts';

/** Everything a handler of one authorised request works with. */
export interface Call {
  readonly settings: Settings;
  readonly clock: SimClock;
  readonly shaper: Shaper;
  readonly presigner: Presigner;
  /** Base URL of the S3 origin. */
  readonly originUrl: string;
  readonly tenant: Tenant;
  /** Decoded path parameters. */
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  readonly contentType: string;
  readonly body: Buffer;
  readonly faults: FiredFaults;
  readonly record: RequestRecord;
}

export interface Route {
  readonly method: string;
  /** As the reference writes it, from /v10 on. */
  readonly template: string;
  /** Whether it works without a token. */
  readonly open?: boolean;
  readonly handle: (call: Call) => Answer | Promise<Answer>;
}

/** The path parameters if the raw path fits the template, each segment decoded. Throws URIError on bad escapes. */
export function matchPath(template: string, rawPath: string): Record<string, string> | undefined {
  const wanted = template.split('/');
  const given = rawPath.split('/');
  if (wanted.length !== given.length) return undefined;
  const params: Record<string, string> = {};
  for (const [i, segment] of wanted.entries()) {
    const value = given[i] ?? '';
    const name = /^\{(.+)\}$/.exec(segment)?.[1];
    if (name === undefined) {
      if (segment !== value) return undefined;
    } else {
      if (value === '') return undefined;
      params[name] = decodeURIComponent(value);
    }
  }
  return params;
}
