import { stat } from 'node:fs/promises';
import { humanDuration, print, printJson } from './output.ts';
import { durationOf } from './arguments.ts';
import { exitCodes } from './exit-codes.ts';

export interface HealthOptions {
  readonly maxAge: string;
  readonly healthFile: string;
  readonly json?: boolean;
}

/** `udm-sync health`: whether the worker in this container has reached Postgres lately. For exec probes. */
export async function healthCommand(options: HealthOptions): Promise<number> {
  const maxAgeMs = durationOf('--max-age', options.maxAge);
  const file = options.healthFile;
  const written = await stat(file).catch(() => undefined);
  const ageMs = written && Math.max(0, Date.now() - written.mtimeMs);
  const healthy = ageMs !== undefined && ageMs <= maxAgeMs;
  if (options.json) printJson({ healthy, file, ageSeconds: ageMs === undefined ? null : ageMs / 1000 });
  else
    print(
      ageMs === undefined
        ? `unhealthy: no worker has written ${file}`
        : `${healthy ? 'healthy' : 'unhealthy'}: the worker last reached Postgres ${humanDuration(ageMs)} ago`,
    );
  return healthy ? exitCodes.done : exitCodes.failed;
}
