import { LineCounter, isMap, isScalar, isSeq, parseDocument, visit } from 'yaml';
import type { Document, YAMLError } from 'yaml';
import type { ConfigIssue } from './config-error.ts';

/** A YAML text as read, with the way back from a path to its line. */
export interface YamlSource {
  readonly tree: unknown;
  /** Mistakes of the YAML itself. */
  readonly issues: readonly ConfigIssue[];
  /** Whether the tree says what the author meant, in spite of the mistakes. */
  readonly usable: boolean;
  /** Line, from 1, of the setting or of the nearest section around it. */
  lineOf(path: readonly PropertyKey[]): number | undefined;
}

/** Our settings end at six; whatever walks the tree is safe far beyond this. */
const mostLevels = 32;
/** What is that broken is no config file; nobody reads more. */
const mostIssues = 20;

/** Whether a tree is deeper than that: an alias within its own anchor makes one without an end. */
function isDeeperThan(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null || value instanceof Date) return false;
  return levels === 0 || Object.values(value).some((child) => isDeeperThan(child, levels - 1));
}

/** Reads YAML 1.2. The messages never quote the text, since that may hold a secret. */
export function readYaml(text: string): YamlSource {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, stringKeys: true });
  const issues = [...document.errors, ...document.warnings].slice(0, mostIssues).map((error) => ({
    path: error.code === 'DUPLICATE_KEY' ? pathOfKey(document, error.pos[0]) : 'YAML',
    message: explain(error),
    line: lines.linePos(error.pos[0]).line,
  }));
  const lineOf = (path: readonly PropertyKey[]) => {
    const offset = offsetOf(document, path);
    return offset === undefined ? undefined : lines.linePos(offset).line;
  };
  const usable = issues.every(({ path }) => path !== 'YAML');
  try {
    const tree: unknown = document.toJS();
    if (isDeeperThan(tree, mostLevels)) {
      const deep = { path: 'YAML', message: `is nested deeper than ${mostLevels} levels, or holds itself` };
      return { tree: undefined, issues: [...issues, deep], usable: false, lineOf };
    }
    return { tree, issues, usable, lineOf };
  } catch {
    // toJS refuses aliases that lead nowhere or multiply without end; its message quotes the text.
    const alias = {
      path: 'YAML',
      message: 'has an alias (*name) without its anchor (&name), or far too many',
    };
    return { tree: undefined, issues: [...issues, alias], usable: false, lineOf };
  }
}

function explain(error: YAMLError): string {
  if (error.code === 'DUPLICATE_KEY') return 'stands there twice; keep one';
  if (error.code === 'BAD_DQ_ESCAPE')
    return String.raw`has a backslash in double quotes, where it begins an escape; use single quotes, as in 'tenant\user'`;
  if (error.message.includes('call stack')) return 'is nested far too deeply';
  // What follows a colon in the library's messages quotes the text.
  return `is not valid: ${error.message.replace(/(?<=\w): .*$/s, '')}`;
}

function pathOfKey(document: Document.Parsed, offset: number): string {
  let found = 'YAML';
  visit(document, {
    Pair(_, pair, ancestors) {
      if (!isScalar(pair.key) || pair.key.range?.[0] !== offset) return undefined;
      const keys = ancestors.flatMap((node) =>
        'key' in node && isScalar(node.key) ? [String(node.key.value)] : [],
      );
      found = [...keys, String(pair.key.value)].join('.');
      return visit.BREAK;
    },
  });
  return found;
}

function offsetOf(document: Document.Parsed, path: readonly PropertyKey[]): number | undefined {
  let node: unknown = document.contents;
  let offset: number | undefined;
  for (const step of path) {
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => isScalar(key) && String(key.value) === step);
      if (!pair || !isScalar(pair.key)) break;
      offset = pair.key.range?.[0] ?? offset;
      node = pair.value;
    } else if (isSeq(node) && typeof step === 'number') {
      node = node.items[step];
      if (isScalar(node)) offset = node.range?.[0] ?? offset;
    } else break;
  }
  return offset;
}
