import { isDatabaseTrouble } from '../store/database.ts';
import type { Database } from '../store/database.ts';
import { findRun } from '../store/runs.ts';
import { searchFiles, searchJobs } from '../store/search.ts';
import { definitionStatuses } from '../store/status.ts';
import { snapshot } from './read-overview.ts';
import { mostHits } from './search-page.ts';
import type { Hits } from './search-page.ts';

/** Looking inside names reads the whole table: it is worth so many ms. */
const patienceMs = 3000;

/** Looks for a run's number, definitions, jobs, and files: by the beginning of their names, then anywhere in them. */
export async function readHits(db: Database, configured: readonly string[], text: string): Promise<Hits> {
  const found = await snapshot(db, async (tx) => {
    const known = (await definitionStatuses(tx)).map(({ definition }) => definition);
    return {
      run: /^#?\d{1,15}$/.test(text) ? await findRun(tx, Number(text.replace('#', ''))) : undefined,
      definitions: [...new Set([...configured, ...known])].filter((name) =>
        name.toLowerCase().includes(text.toLowerCase()),
      ),
      jobs: await searchJobs(tx, text, mostHits),
      files: await searchFiles(tx, text, 'begins', mostHits),
    };
  });
  if (found.files.length > 0 || found.jobs.length > 0 || found.run) return { ...found, depth: 'begins' };
  try {
    const files = await snapshot(db, (tx) => searchFiles(tx, text, 'anywhere', mostHits), patienceMs);
    return { ...found, files, depth: 'anywhere' };
  } catch (error) {
    if (isDatabaseTrouble(error)) return { ...found, depth: 'gave-up' };
    throw error;
  }
}
