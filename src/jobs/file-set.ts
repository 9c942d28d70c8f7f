/**
 * Whether a listing of file names is a whole split set.
 *
 * A part alone is useless: the parts of a set can be unpacked only together. Names carry a part number where the
 * export was split (`…-part-0002-of-0003…`, `…_2of3…`, `….002…`); how exactly is not documented, so any of these
 * is understood and anything else is a set by itself.
 */
export type Completeness =
  { readonly complete: true } | { readonly complete: false; readonly missing: string };

const ofPattern = /^(?<head>.*?)(?<part>\d+)[-_. ]*of[-_. ]*(?<total>\d+)(?<tail>.*)$/i;
const partPattern = /^(?<head>.*(?:part|split|vol)[-_. ]*)(?<part>\d+)(?<tail>\D*)$/i;

interface Numbered {
  readonly set: string;
  readonly part: number;
  readonly total: number | undefined;
}

function numbered(name: string): Numbered | undefined {
  const groups = (ofPattern.exec(name) ?? partPattern.exec(name))?.groups;
  if (!groups) return undefined;
  const total = groups['total'] === undefined ? undefined : Number(groups['total']);
  const part = Number(groups['part']);
  if (!Number.isSafeInteger(part) || (total !== undefined && (total < 1 || total > 100_000)))
    return undefined;
  return { set: `${groups['head'] ?? ''}#${total ?? ''}${groups['tail'] ?? ''}`, part, total };
}

export function assessSet(names: readonly string[]): Completeness {
  const sets = new Map<string, { parts: Set<number>; total: number | undefined; example: string }>();
  for (const name of names) {
    const found = numbered(name);
    if (!found) continue;
    const set = sets.get(found.set) ?? { parts: new Set<number>(), total: found.total, example: name };
    set.parts.add(found.part);
    sets.set(found.set, set);
  }
  for (const { parts, total, example } of sets.values()) {
    const first = parts.has(0) ? 0 : 1;
    const last = total === undefined ? Math.max(...parts) : total - 1 + first;
    // A lone number without a total ("…part 7…") is a name, not a hole.
    if (total === undefined && parts.size === 1) continue;
    for (let part = first; part <= last; part += 1) {
      if (!parts.has(part))
        return { complete: false, missing: `part ${part} of ${total ?? last} of the set of ${example}` };
    }
  }
  return { complete: true };
}
