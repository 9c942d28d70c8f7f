import type { ConfigIssue } from './config-error.ts';
import { didYouMean, plain } from './did-you-mean.ts';
import { isCollection, isSection, nodeAt, settingsOf } from './shape.ts';
import { readTextFile } from './text-file.ts';
import { isMapping, valueAt } from './tree.ts';

/** A setting that an environment variable replaces. */
export interface Override {
  readonly path: readonly string[];
  readonly variable: string;
  readonly value: string;
}

export const variablePrefix = 'UDM_SYNC_';

const shortNames: Readonly<Record<string, readonly string[]>> = {
  DATABASE_URL: ['database', 'url'],
  LOG_LEVEL: ['log', 'level'],
};

/** Variables with our prefix that are no settings. */
const reserved = /^UDM_SYNC_(CONFIG$|TEST_)/i;

// Kubernetes sets these for every Service of the namespace whose name begins with udm-sync.
const serviceLink =
  /^UDM_SYNC_([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$/;

/**
 * Settings from the environment: `DATABASE_URL`, `LOG_LEVEL`, and `UDM_SYNC_<PATH>` with `__` between the parts of
 * the path; each also with `_FILE` at its end for a file that holds the value. Empty variables count as not set.
 *
 * @param tree the YAML, for the names of tenants, sinks and definitions
 */
export async function readOverrides(
  env: NodeJS.ProcessEnv,
  tree: unknown,
): Promise<{ overrides: Override[]; issues: ConfigIssue[] }> {
  const overrides: Override[] = [];
  const issues: ConfigIssue[] = [];
  const taken = new Map<string, string>();
  for (const [variable, content] of Object.entries(env).sort(([a], [b]) => a.localeCompare(b, 'en'))) {
    if (content === undefined || content === '') continue;
    const target = targetOf(variable, tree);
    if (target === undefined) continue;
    if (typeof target.path === 'string') {
      issues.push({ path: variable, message: target.path });
      continue;
    }
    const id = JSON.stringify(target.path);
    const other = taken.get(id);
    taken.set(id, variable);
    if (other !== undefined) {
      issues.push({ path: variable, message: `sets ${target.path.join('.')}, as ${other} does; keep one` });
      continue;
    }
    const read = target.fromFile ? await readTextFile(content) : { text: content };
    if ('problem' in read) issues.push({ path: variable, message: read.problem });
    else overrides.push({ path: target.path, variable, value: read.text });
  }
  return { overrides, issues };
}

/** What a variable sets: a path, or what is wrong with its name. Undefined: it is not ours. */
function targetOf(
  variable: string,
  tree: unknown,
): { path: readonly string[] | string; fromFile: boolean } | undefined {
  const fromFile = /_FILE$/i.test(variable);
  const name = fromFile ? variable.slice(0, -'_FILE'.length) : variable;
  const short = Object.hasOwn(shortNames, name) ? shortNames[name] : undefined;
  // LOG_LEVEL_FILE is nobody's secret.
  if (short && !(fromFile && name === 'LOG_LEVEL')) return { path: short, fromFile };
  if (!variable.toUpperCase().startsWith(variablePrefix)) return undefined;
  if (reserved.test(variable) || serviceLink.test(variable)) return undefined;
  return { path: resolvePath(name.slice(variablePrefix.length).split('__'), tree), fromFile };
}

/** The path into the YAML that the parts of a name stand for, or what is wrong with them. */
function resolvePath(parts: readonly string[], tree: unknown): readonly string[] | string {
  const path: string[] = [];
  for (const part of parts) {
    const node = nodeAt(path);
    if (!node || !isSection(node)) return `is no setting: ${path.join('.')} has no parts`;
    const names = isCollection(node) ? namesIn(valueAt(tree, path)) : [...settingsOf(node).keys()];
    const found = names.filter((name) => plain(name) === plain(part));
    if (found.length > 1) return `could mean ${found.join(' or ')} in ${path.join('.')}; set it in the file`;
    if (found[0] === undefined) {
      const known = didYouMean(part, names) || `; known are ${names.join(', ') || 'none'}`;
      return `is no setting: nothing in ${path.join('.') || 'the configuration'} is called ${part.toLowerCase()}${known}`;
    }
    path.push(found[0]);
  }
  const node = nodeAt(path);
  if (node && isSection(node)) return `is no setting but a section; join the parts of a path with __`;
  return path;
}

function namesIn(entries: unknown): string[] {
  return isMapping(entries) ? Object.keys(entries) : [];
}
