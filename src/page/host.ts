import { isIP } from 'node:net';

/**
 * Whether a request's Host header is one that this page goes by. A foreign name that leads here (DNS rebinding) would
 * let another site's scripts read the page with a visitor's browser; an address cannot, since it is no name.
 */
export function hostAllowed(
  header: string | undefined,
  listening: string,
  allowed: readonly string[],
): boolean {
  const name = nameOf(header);
  if (name === undefined) return false;
  if (name === 'localhost' || isIP(name) !== 0 || name === listening.toLowerCase()) return true;
  return allowed.some((entry) => {
    const wanted = entry.toLowerCase();
    return wanted.startsWith('*.')
      ? name.endsWith(wanted.slice(1)) && name !== wanted.slice(2)
      : name === wanted;
  });
}

/** The name or address of a Host header, in small letters, without port and brackets. */
function nameOf(header: string | undefined): string | undefined {
  const match = /^(\[([\da-f:.]+)\]|([\w.-]+))(:\d{1,5})?$/i.exec(header ?? '');
  return (match?.[2] ?? match?.[3])?.toLowerCase().replace(/\.$/, '');
}
