import { SignedUrl } from './presigned.ts';
import type { ListedUrl } from './shapes.ts';

/**
 * Which listed URL is for which file: by the name the answer gives it, else by the path of the URL.
 *
 * Never by position, and not at all where two would do: bytes under a wrong name are worse than asking again.
 */
export function matchUrls(names: readonly string[], listed: readonly ListedUrl[]): Map<string, SignedUrl> {
  const candidates = new Map<string, SignedUrl[]>();
  for (const { name, url } of listed) {
    const parsed = URL.parse(url);
    if (parsed === null) continue;
    const owner = name !== undefined && names.includes(name) ? name : ownerByPath(names, parsed);
    if (owner !== undefined) candidates.set(owner, [...(candidates.get(owner) ?? []), new SignedUrl(parsed)]);
  }
  const matched = new Map<string, SignedUrl>();
  for (const [name, [first, ...others]] of candidates)
    if (first !== undefined && others.length === 0) matched.set(name, first);
  return matched;
}

/** The longest name that the path ends with, so that `b.zip` does not get what belongs to `a/b.zip`. */
function ownerByPath(names: readonly string[], url: URL): string | undefined {
  let path: string;
  try {
    path = decodeURIComponent(url.pathname);
  } catch {
    return undefined;
  }
  return names
    .filter((name) => path.endsWith(`/${name}`))
    .sort((a, b) => b.length - a.length)
    .at(0);
}
