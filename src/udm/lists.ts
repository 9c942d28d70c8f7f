import { UdmError } from './errors.ts';
import { isPathSafe } from './path.ts';

/** The vendor takes at most 100 names in one list. */
const maxNames = 100;
/** Gateways refuse URLs beyond 8 KB; the names may take this much of it, encoded. */
const maxEncodedLength = 5_500;

/** How names are sent: in lists, or alone where a list would change them. */
export interface Batches {
  readonly lists: readonly (readonly string[])[];
  readonly singles: readonly string[];
}

/**
 * Divides names into lists the upstream can take, without doubles.
 *
 * A name with a comma would be read as two, one with blanks around it may be trimmed into another: those go alone.
 * Throws ERR_UDM_NAME, before anything is sent, for names that can go neither way; an empty one would ask for all.
 */
export function inBatches(endpoint: string, names: readonly string[]): Batches {
  const lists: string[][] = [];
  const singles: string[] = [];
  let length = Number.POSITIVE_INFINITY;
  for (const name of new Set(names)) {
    if (name.trim() === '' || !name.isWellFormed()) throw unusableName(endpoint, name);
    if (name.includes(',') || name.trim() !== name) {
      if (!isPathSafe(name)) throw unusableName(endpoint, name);
      singles.push(name);
      continue;
    }
    const own = encodeURIComponent(name).length + 1;
    const current = lists.at(-1);
    if (current === undefined || current.length >= maxNames || length + own > maxEncodedLength) {
      lists.push([name]);
      length = own;
    } else {
      current.push(name);
      length += own;
    }
  }
  return { lists, singles };
}

/** A name that no request can carry without becoming another. */
export function unusableName(endpoint: string, name: string): UdmError {
  return new UdmError(
    'ERR_UDM_NAME',
    endpoint,
    `${JSON.stringify(name.slice(0, 100))} cannot be sent to the upstream.`,
    {
      hint: 'The upstream gave a name that cannot be asked for; handle this file by hand in the UDM user interface.',
    },
  );
}
