import { isMapping } from './tree.ts';

/** What is wrong at a path into the YAML. */
export interface Finding {
  readonly path: readonly PropertyKey[];
  readonly message: string;
  /** Whether the message quotes a part of the value; only where the setting is no secret. */
  readonly quotesValue?: boolean;
}

export interface Expanded {
  readonly tree: unknown;
  readonly findings: readonly Finding[];
  /** The texts that held references, as written. Their values are not shown: a variable may hold a secret. */
  readonly written: ReadonlyMap<string, string>;
}

const reference = /\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}|\$\{/g;

/**
 * Replaces `${NAME}` and `${NAME:-default}` in every text of the tree; `$${` stands for `${`.
 * An empty variable counts as not set.
 */
export function expandReferences(tree: unknown, env: NodeJS.ProcessEnv): Expanded {
  const findings: Finding[] = [];
  const written = new Map<string, string>();
  const expand = (value: unknown, path: readonly PropertyKey[]): unknown => {
    if (Array.isArray(value)) return value.map((item: unknown, index) => expand(item, [...path, index]));
    if (isMapping(value))
      return Object.fromEntries(
        Object.entries(value).map(([key, child]) => [key, expand(child, [...path, key])]),
      );
    if (typeof value !== 'string' || !value.includes('${')) return value;
    written.set(JSON.stringify(path), value);
    return value.replaceAll(reference, (whole, name?: string, fallback?: string) => {
      if (whole === '$${') return '${';
      if (name === undefined) {
        findings.push({
          path,
          message: 'has a ${ that begins no ${NAME} or ${NAME:-default}; write $${ for the text ${',
        });
        return whole;
      }
      const found = env[name] === '' ? fallback : (env[name] ?? fallback);
      if (found !== undefined) return found;
      findings.push({ path, message: `needs the environment variable ${name}, which is not set or empty` });
      return whole;
    });
  };
  return { tree: expand(tree, []), findings, written };
}
