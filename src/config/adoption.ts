import { compileKeyTemplate } from './key-template.ts';
import type { Finding } from './references.ts';
import { fields } from './schema.ts';
import { shareTitle } from './title-match.ts';
import type { Mapping } from './tree.ts';
import { plainWord } from './words.ts';

/** Mistakes in definitions that adopt people's jobs. Works on the tree, as cross-checks.ts does. */

/** Settings that say how a job of ours is made: people's jobs are made already. */
const ofOurJobs = ['schedule', 'windows', 'subType', 'media', 'attachments', 'fileSplitSize'] as const;

export function checkAdoption(path: readonly string[], definition: Mapping, now: Date): Finding[] {
  if (definition['adopt'] === undefined) return [];
  const findings: Finding[] = ofOurJobs
    .filter((name) => definition[name] !== undefined)
    .map((name) => ({
      path: [...path, name],
      message: 'does not go with adopt: the job is made by people upstream, who decide that',
    }));
  if (definition['delete'] === 'files-and-job')
    findings.push({
      path: [...path, 'delete'],
      message:
        'must be files, files-and-history or nothing beside adopt: the job belongs to people, and has to run again',
    });
  const since = fields.adopt.safeParse(definition['adopt']).data?.since;
  if (since && since > now)
    findings.push({ path: [...path, 'adopt', 'since'], message: 'is in the future; leave it out instead' });
  const key = fields.key.safeParse(definition['key']).data;
  if (key !== undefined) {
    const { inFolder } = compileKeyTemplate(key);
    if (!inFolder.has('entry') && !inFolder.has('run'))
      findings.push({
        path: [...path, 'key'],
        message:
          'must hold {entry} in its folder, before the last /, beside adopt: two entries may be made at the same time',
      });
  }
  return findings;
}

/** Two definitions that adopt the same entries: only one of them would get each. */
export function checkSharedTitles(definitions: readonly [string, Mapping][]): Finding[] {
  const plain = (value: unknown) => (typeof value === 'string' ? plainWord(value) : value);
  const adopting = definitions.flatMap(([name, definition]) => {
    const adopt = fields.adopt.safeParse(definition['adopt']).data;
    const { tenant, source, type } = definition;
    return adopt ? [{ name, adopt, what: JSON.stringify([tenant, plain(source), plain(type)]) }] : [];
  });
  return adopting.flatMap((one, index) =>
    adopting
      .slice(0, index)
      .filter((other) => other.what === one.what && shareTitle(one.adopt, other.adopt))
      .map((other) => ({
        path: ['definitions', one.name, 'adopt', 'title'],
        message: `matches jobs that ${other.name} adopts too; an entry can be collected by one definition only`,
      })),
  );
}
