import type { Finding } from './references.ts';
import { isCollection, nodeAt, settingsOf } from './shape.ts';
import { readTextFile } from './text-file.ts';
import { isMapping, valueAt, withValue, withoutValue } from './tree.ts';

/** Long enough for any secret. */
const unread = 'a secret that could not be read';

/** Replaces every `apiKeyFile: path` of the tree by `apiKey` with what the file holds. */
export async function readSecretFiles(tree: unknown): Promise<{ tree: unknown; findings: Finding[] }> {
  const findings: Finding[] = [];
  let result = tree;
  for (const { path, filePath } of secretFiles(tree, [])) {
    const file = valueAt(tree, filePath);
    result = withoutValue(result, filePath);
    if (valueAt(tree, path) !== undefined) {
      findings.push({ path: filePath, message: `stands beside ${path.at(-1) ?? ''}; keep one` });
    } else if (typeof file !== 'string' || file === '') {
      findings.push({ path: filePath, message: 'must be the path of a file' });
    } else {
      const read = await readTextFile(file);
      if ('problem' in read) findings.push({ path: filePath, message: read.problem });
      // A secret that could not be had is not reported as missing too.
      result = withValue(result, path, 'problem' in read ? unread : read.text);
    }
  }
  return { tree: result, findings };
}

function secretFiles(tree: unknown, path: readonly string[]): { path: string[]; filePath: string[] }[] {
  const node = nodeAt(path);
  if (!node || !isMapping(tree)) return [];
  const settings = settingsOf(node);
  return Object.entries(tree).flatMap(([key, value]) => {
    const secret = key.endsWith('File') ? key.slice(0, -'File'.length) : '';
    if (!isCollection(node) && settings.get(secret)?.writeOnly)
      return [{ path: [...path, secret], filePath: [...path, key] }];
    return secretFiles(value, [...path, key]);
  });
}
