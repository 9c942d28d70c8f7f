import { UdmError } from './errors.ts';

/** Values of a query string; a list is sent as one value with commas, undefined is left out. */
export type Query = Readonly<Record<string, string | readonly string[] | undefined>>;

/**
 * Fills the `{name}` places of a route with encoded values.
 *
 * Throws ERR_UDM_NAME for values that would make another path of it: URL parsers take `..` for the folder above even
 * when it is percent-encoded, and some gateways decode %2F before they look at the path.
 */
export function fillRoute(
  endpoint: string,
  route: string,
  params: Readonly<Record<string, string>> = {},
): string {
  return route.replace(/\{(\w+)\}/g, (_, name: string) => encodeSegment(endpoint, params[name] ?? ''));
}

function encodeSegment(endpoint: string, value: string): string {
  if (!isPathSafe(value))
    throw new UdmError(
      'ERR_UDM_NAME',
      endpoint,
      `${JSON.stringify(value.slice(0, 100))} cannot be part of a URL path.`,
      {
        hint: 'The upstream gave a name that cannot be asked for; handle this file by hand in the UDM user interface.',
      },
    );
  return encodeURIComponent(value);
}

/** Whether a value keeps its meaning as one segment of a path. */
export function isPathSafe(value: string): boolean {
  return (
    value.isWellFormed() &&
    value !== '' &&
    !value.split(/[/\\]/).some((part) => part === '.' || part === '..')
  );
}

/** A query string with its `?`, or nothing. Spaces are %20 and not +, which not every server decodes. */
export function encodeQuery(query: Query = {}): string {
  const pairs = Object.entries(query).flatMap(([name, value]) => {
    if (value === undefined) return [];
    const encoded =
      typeof value === 'string' ? encodeURIComponent(value) : value.map(encodeURIComponent).join(',');
    return [`${encodeURIComponent(name)}=${encoded}`];
  });
  return pairs.length === 0 ? '' : `?${pairs.join('&')}`;
}
