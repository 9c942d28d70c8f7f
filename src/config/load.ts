import { readFile } from 'node:fs/promises';
import type { z } from 'zod';
import type { Config } from './config.ts';
import { ConfigError } from './config-error.ts';
import type { ConfigIssue } from './config-error.ts';
import { crossCheck } from './cross-checks.ts';
import { didYouMean } from './did-you-mean.ts';
import { readOverrides } from './environment.ts';
import { expandReferences } from './references.ts';
import type { Finding } from './references.ts';
import { configSchema } from './schema.ts';
import { readSecretFiles } from './secret-files.ts';
import { isCollection, isSecret, isSection, nodeAt, settingsOf, showPath } from './shape.ts';
import { whyUnreadable } from './text-file.ts';
import { isMapping, valueAt, withValue, withoutValue } from './tree.ts';
import { readYaml } from './yaml-source.ts';

export interface LoadOptions {
  /** The YAML file; by default `UDM_SYNC_CONFIG`, else `udm-sync.yaml`. With `text`, only its name in messages. */
  readonly path?: string | undefined;
  /** The YAML itself, instead of a file. */
  readonly text?: string | undefined;
  readonly env: NodeJS.ProcessEnv;
  /** For settings that may not lie in the future. Default: now. */
  readonly now?: Date | undefined;
}

const defaultPath = 'udm-sync.yaml';
const example = 'Begin with udm-sync.example.yaml; docs/configuration.md explains every setting.';

/**
 * Reads the configuration: the YAML file, then the environment over it, then `${NAME}` references and `…File`s.
 *
 * @throws ConfigError with every mistake at once, none of which shows a secret
 */
export async function loadConfig(options: LoadOptions): Promise<Config> {
  const name = options.path ?? (options.env['UDM_SYNC_CONFIG'] || defaultPath);
  const yaml = readYaml(options.text ?? (await readConfigFile(name)));
  if (!yaml.usable) throw new ConfigError(name, yaml.issues);
  if (yaml.tree === null || yaml.tree === undefined)
    throw new ConfigError(name, [{ path: name, message: 'is empty' }], example);
  if (!isMapping(yaml.tree))
    throw new ConfigError(name, [{ path: name, message: 'must be a mapping of settings', line: 1 }], example);

  const environment = await readOverrides(options.env, yaml.tree);
  const kept = environment.overrides.reduce<unknown>(
    (tree, { path }) => withoutSetting(tree, path),
    yaml.tree,
  );
  const expanded = expandReferences(kept, options.env);
  const overridden = environment.overrides.reduce(
    (tree, { path, value }) => withValue(tree, path, value),
    expanded.tree,
  );
  const { tree, findings: fileFindings } = await readSecretFiles(fillEmptySections(overridden, []));

  const parsed = configSchema.safeParse(tree);
  const early = [...expanded.findings, ...fileFindings];
  const silenced = new Set(early.map(({ path }) => JSON.stringify(path)));
  const late = [
    ...(parsed.error?.issues ?? []).flatMap(findingsOf),
    ...crossCheck(tree, options.now ?? new Date()),
  ];
  const findings = [...early, ...late.filter(({ path }) => !silenced.has(JSON.stringify(path)))];

  const variables = new Map(
    environment.overrides.map(({ path, variable }) => [JSON.stringify(path), variable]),
  );
  const describe = ({ path, message, quotesValue }: Finding): ConfigIssue => {
    const id = JSON.stringify(path);
    const variable = variables.get(id);
    const line = variable === undefined ? yaml.lineOf(path) : undefined;
    const value = isSecret(path) ? undefined : (expanded.written.get(id) ?? showValue(valueAt(tree, path)));
    return {
      path: showPath(path),
      message: quotesValue && expanded.written.has(id) ? hiddenMistake : message,
      ...(value !== undefined && { value }),
      ...(line !== undefined && { line }),
      ...(variable !== undefined && { variable }),
    };
  };
  const issues = [...yaml.issues, ...unique(findings).map(describe), ...environment.issues];
  if (issues.length > 0 || !parsed.success) throw new ConfigError(name, issues);
  return parsed.data;
}

async function readConfigFile(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    const message = whyUnreadable(error);
    const hint =
      message === 'does not exist' ? `Name another with --config or UDM_SYNC_CONFIG. ${example}` : undefined;
    throw new ConfigError(path, [{ path, message }], hint);
  }
}

/** Removes a setting, and the file that a secret would have come from. */
function withoutSetting(tree: unknown, path: readonly string[]): unknown {
  const file = [...path.slice(0, -1), `${path.at(-1) ?? ''}File`];
  return withoutValue(withoutValue(tree, path), file);
}

/** A section whose lines are all commented out is null in YAML, and means the defaults. */
function fillEmptySections(value: unknown, path: readonly string[]): unknown {
  const node = nodeAt(path);
  if (!node || !isSection(node)) return value;
  if (value === null && !isCollection(node)) return {};
  if (!isMapping(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, child]) => [key, fillEmptySections(child, [...path, key])]),
  );
}

function findingsOf(issue: z.core.$ZodIssue): Finding[] {
  if (issue.code === 'custom' && issue.params?.['quotesValue'])
    return [{ path: issue.path, message: issue.message, quotesValue: true }];
  if (issue.code !== 'unrecognized_keys') return [{ path: issue.path, message: issue.message }];
  const section = nodeAt(issue.path);
  const known = [...(section ? settingsOf(section).keys() : [])];
  return issue.keys.map((key) => {
    const path = [...issue.path, key];
    if (known.includes(key)) return { path, message: 'does not go with the type or grant chosen beside it' };
    return { path, message: `is no setting${didYouMean(key, known) || `; known are ${known.join(', ')}`}` };
  });
}

// A variable may hold a secret, even one that was meant for another setting.
const hiddenMistake =
  'is not allowed once its references are replaced; the text is not shown, as it may be secret';

const longestValue = 100;

function showValue(value: unknown): string | undefined {
  if (value === undefined || value === null || isMapping(value)) return undefined;
  const text = JSON.stringify(value);
  return text.length > longestValue ? `${text.slice(0, longestValue)}…` : text;
}

function unique(findings: readonly Finding[]): Finding[] {
  return [...new Map(findings.map((finding) => [JSON.stringify(finding), finding])).values()];
}
