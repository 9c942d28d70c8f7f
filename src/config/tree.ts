/** What YAML becomes before it is checked: mappings, lists, texts, numbers, booleans and null. */
export type Mapping = Record<string, unknown>;

export function isMapping(value: unknown): value is Mapping {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The value at a path, or undefined. */
export function valueAt(tree: unknown, path: readonly PropertyKey[]): unknown {
  let value = tree;
  for (const key of path) {
    if (Array.isArray(value) && typeof key === 'number') value = value[key];
    else if (isMapping(value) && Object.hasOwn(value, key)) value = value[String(key)];
    else return undefined;
  }
  return value;
}

/** A copy of the tree with a value put at a path of mappings, which are made where they are missing. */
export function withValue(tree: unknown, path: readonly string[], value: unknown): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return value;
  const mapping = isMapping(tree) ? tree : {};
  return { ...mapping, [key]: withValue(valueAt(mapping, [key]), rest, value) };
}

/** A copy of the tree without what stands at a path. */
export function withoutValue(tree: unknown, path: readonly string[]): unknown {
  const [key, ...rest] = path;
  if (key === undefined || !isMapping(tree) || !Object.hasOwn(tree, key)) return tree;
  if (rest.length > 0) return { ...tree, [key]: withoutValue(tree[key], rest) };
  return Object.fromEntries(Object.entries(tree).filter(([name]) => name !== key));
}
