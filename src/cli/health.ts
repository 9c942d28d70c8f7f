import { stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { humanDuration, print } from './output.ts';
import { durationOf } from './arguments.ts';
import { exitCodes } from './exit-codes.ts';

/** Where the worker notes that its loop turns: the only thing it writes to its own file system. */
export const defaultHealthFile = join(tmpdir(), 'udm-sync-health');

/** `udm-sync health`: whether the worker in this container has reached Postgres lately. For exec probes. */
export async function healthCommand(options: { maxAge: string; healthFile?: string }): Promise<number> {
  const maxAgeMs = durationOf('--max-age', options.maxAge);
  const file = options.healthFile ?? defaultHealthFile;
  let ageMs: number;
  try {
    ageMs = Date.now() - (await stat(file)).mtimeMs;
  } catch {
    print(`unhealthy: no worker has written ${file}`);
    return exitCodes.failed;
  }
  const healthy = ageMs <= maxAgeMs;
  print(`${healthy ? 'healthy' : 'unhealthy'}: the worker last reached Postgres ${humanDuration(ageMs)} ago`);
  return healthy ? exitCodes.done : exitCodes.failed;
}
