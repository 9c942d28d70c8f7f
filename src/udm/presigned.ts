import { isIP } from 'node:net';
import { inspect } from 'node:util';
import { isAddressAllowed, isHostListed, stripBrackets } from './address.ts';
import type { AddressRules } from './address.ts';
import type { PresignedUrl } from './types.ts';

/** A pre-signed URL that shows itself without its query string, however it is printed. */
export class SignedUrl implements PresignedUrl {
  // A private field: neither a spread, nor JSON, nor util.inspect can reach it.
  readonly #url: URL;

  constructor(url: URL) {
    this.#url = new URL(url);
  }

  get secret(): string {
    return this.#url.href;
  }

  toString(): string {
    return redactUrl(this.#url);
  }

  toJSON(): string {
    return this.toString();
  }

  [inspect.custom](): string {
    return this.toString();
  }
}

/** Scheme, host and path of a URL: what may be shown of it. */
export function redactUrl(url: URL): string {
  return `${url.protocol}//${url.host}${url.pathname}`;
}

/** Parses a Location or a listed URL; undefined if it is not an absolute or resolvable URL. */
export function parsePresigned(text: string, base: URL): SignedUrl | undefined {
  const url = URL.parse(text, base.href);
  return url === null ? undefined : new SignedUrl(url);
}

/** What a download may connect to. */
export interface DownloadRules {
  readonly allowedHosts: readonly string[] | undefined;
  readonly addresses: AddressRules;
}

/**
 * Why a URL must not be fetched, or undefined if nothing in the URL itself speaks against it. Names are checked
 * once more by the address they resolve to, since only that one is connected to.
 */
export function refusePresigned(url: URL, rules: DownloadRules): string | undefined {
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return `it is ${url.protocol} and not https`;
  const relaxed = rules.addresses.loopback || rules.addresses.private;
  if (url.protocol === 'http:' && !relaxed) return 'it is not https';
  if (url.username !== '' || url.password !== '') return 'it carries a user name or password';
  if (!isHostListed(url.hostname, rules.allowedHosts)) return 'its host is not on the list of allowed hosts';
  const host = stripBrackets(url.hostname);
  // A literal address is never looked up, so the check at look-up time would not see it.
  if (isIP(host) !== 0 && !isAddressAllowed(host, url.protocol === 'https:', rules.addresses))
    return `its address ${host} is not one that files may come from`;
  return undefined;
}
