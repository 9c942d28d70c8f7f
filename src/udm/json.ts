/** Deeper than any answer of this API; code that walks a value recursively is safe far beyond it. */
const maxDepth = 64;

/** Why bytes are not JSON we want to touch, without quoting them. */
export class JsonProblem extends Error {}

/**
 * Parses an answer. Integers beyond 2^53 come as strings, since ids are opaque and must keep every digit.
 *
 * Throws `JsonProblem` for bytes that are not UTF-8, text that is not JSON, and nesting beyond 64 levels.
 */
export function parseJson(bytes: Uint8Array): unknown {
  let text: string;
  try {
    // Replacement characters would turn one file name into another.
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new JsonProblem('is not UTF-8');
  }
  if (isDeeperThan(text, maxDepth)) throw new JsonProblem(`is nested deeper than ${maxDepth} levels`);
  try {
    return /\d{16}/.test(text) ? JSON.parse(text, keepDigits) : JSON.parse(text);
  } catch {
    throw new JsonProblem(/^\s*</.test(text) ? 'is HTML or XML and not JSON' : 'is not JSON');
  }
}

/** The same for bodies that only may hold JSON, such as those of errors; undefined for everything else. */
export function tryJson(bytes: Uint8Array): unknown {
  try {
    return parseJson(bytes);
  } catch {
    return undefined;
  }
}

/** A JSON.parse reviver; its third argument holds the number as it was written. */
function keepDigits(_key: string, value: unknown, ...rest: readonly unknown[]): unknown {
  if (typeof value !== 'number' || Number.isSafeInteger(value)) return value;
  const [context] = rest;
  if (typeof context !== 'object' || context === null || !('source' in context)) return value;
  return typeof context.source === 'string' && /^-?\d+$/.test(context.source) ? context.source : value;
}

/** Counts brackets outside strings, before anything recursive sees the text. */
function isDeeperThan(text: string, limit: number): boolean {
  let depth = 0;
  let inString = false;
  for (let i = 0; i < text.length; i++) {
    const char = text.charCodeAt(i);
    if (inString) {
      if (char === 0x5c) i++;
      else if (char === 0x22) inString = false;
    } else if (char === 0x22) inString = true;
    else if (char === 0x5b || char === 0x7b) {
      if (++depth > limit) return true;
    } else if (char === 0x5d || char === 0x7d) depth--;
  }
  return false;
}
