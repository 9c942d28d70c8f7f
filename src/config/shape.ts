import { configJsonSchema, isNode } from './json-schema.ts';
import type { SchemaNode } from './json-schema.ts';

/** Answers about the configuration's shape, from the one JSON Schema, for paths into the YAML. */

let root: SchemaNode | undefined;

/** The node of a path, or undefined where no setting can stand. */
export function nodeAt(path: readonly PropertyKey[]): SchemaNode | undefined {
  root ??= configJsonSchema();
  let node: SchemaNode | undefined = root;
  for (const key of path) node = node && childOf(node, String(key));
  return node;
}

/** Names of the settings of a section; of a choice of sections, those of all of them. */
export function settingsOf(node: SchemaNode): Map<string, SchemaNode> {
  const settings = new Map<string, SchemaNode>();
  for (const option of [node, ...(node.oneOf ?? []).filter(isNode)])
    for (const [name, child] of Object.entries(option.properties ?? {}))
      if (isNode(child) && !settings.has(name)) settings.set(name, child);
  return settings;
}

/** Whether the node maps free names to entries. */
export function isCollection(node: SchemaNode): boolean {
  return isNode(node.additionalProperties);
}

/** Whether the node holds settings or entries rather than a value. */
export function isSection(node: SchemaNode): boolean {
  return isCollection(node) || settingsOf(node).size > 0;
}

/** Whether the value at a path must never be shown. What is unknown is treated as secret. */
export function isSecret(path: readonly PropertyKey[]): boolean {
  // An index into a list belongs to the list's setting.
  const setting = path.filter((key) => typeof key !== 'number');
  const node = nodeAt(setting);
  return node === undefined || isSection(node) || node.writeOnly === true;
}

function childOf(node: SchemaNode, key: string): SchemaNode | undefined {
  const named = settingsOf(node).get(key);
  if (named) return named;
  return isNode(node.additionalProperties) ? node.additionalProperties : undefined;
}

/** A path as people write it: `definitions.hourly.media[0]`. */
export function showPath(path: readonly PropertyKey[]): string {
  return path
    .map((key, index) => (typeof key === 'number' ? `[${key}]` : `${index > 0 ? '.' : ''}${String(key)}`))
    .join('');
}
