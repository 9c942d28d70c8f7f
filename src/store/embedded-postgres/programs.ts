import { execFile } from 'node:child_process';
import type { Account } from './account.ts';

/** How a finished program ended: its exit code (null when a signal or the system stopped it) and what it said. */
export interface Ended {
  readonly code: number | null;
  readonly output: string;
}

/** Everything of the environment a Postgres program needs: nothing of ours (PGPORT, PGDATA, …) may leak into it. */
export function programEnvironment(): NodeJS.ProcessEnv {
  return { PATH: process.env['PATH'] ?? '/usr/bin:/bin', LC_ALL: 'C' };
}

/** Runs one of Postgres's own programs to its end as the given account. Never rejects. */
export function runProgram(
  file: string,
  args: readonly string[],
  options: { readonly cwd: string; readonly account: Account | undefined },
): Promise<Ended> {
  return new Promise((done) => {
    execFile(
      file,
      args,
      { cwd: options.cwd, env: programEnvironment(), ...options.account },
      (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === 'number' ? error.code : null;
        const said = `${stdout}\n${stderr}`.trim();
        done({ code, output: said === '' && error !== null ? error.message : said });
      },
    );
  });
}
