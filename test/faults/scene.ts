import { expect, inject, onTestFailed, onTestFinished } from 'vitest';
import type { FileSpec } from '../../simulator/server.ts';
import { audit } from '../auditor/rules.ts';
import { buildCli } from '../e2e/build.ts';
import type { Running } from '../e2e/processes.ts';
import { startS3Server } from '../support/s3.ts';
import { prefix, startArena } from './arena.ts';
import type { Arena, ArenaOptions, Ground, Settings } from './arena.ts';
import { lastWindows } from './windows.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
const hour = 3_600_000;

/** What the arenas of a test file stand on. */
export async function layGround(): Promise<Ground> {
  const postgres = inject('testPostgres');
  return { main: await buildCli(postgres.url), postgres, s3: await startS3Server() };
}

/** One file per window, of a few hundred KiB; in the second window three, and one of them in three parts. */
export function usualFiles(definition: string, from: Date): FileSpec[] {
  const stem = `${definition}-${from.toISOString().replaceAll(/[:.]/g, '')}`;
  const index = Math.floor(from.getTime() / hour);
  if (index % 4 !== 1) return [{ name: `${stem}.zip.smime`, size: 100 * KiB + index }];
  return [
    { name: `${stem}-a.smime`, size: 0 },
    { name: `${stem}-b.smime`, size: 12 * MiB + 1 },
    { name: `${stem}-c.smime`, size: 3 * KiB },
  ];
}

export interface Scene {
  readonly arena: Arena;
  readonly config: string;
  readonly worker: Running;
  /** Waits until everything is done, and checks that all of it arrived and nothing was used up. */
  readonly finish: () => Promise<void>;
}

/** Starts an arena with eight hourly windows of one definition, and a worker on it. Ends with the test. */
export async function startScene(
  options: Omit<ArenaOptions, 'files'> & {
    readonly files?: ArenaOptions['files'];
    readonly definition?: Settings;
    /** Before the worker starts. */
    readonly prepare?: (arena: Arena) => void | Promise<void>;
  },
): Promise<Scene> {
  const arena = await startArena({ files: usualFiles, ...options });
  onTestFinished(() => arena.stop());
  onTestFailed(() => console.log(arena.said()));
  const place = options.sink === 'folder' ? '' : prefix;
  const { windows, expectation } = lastWindows('contacts', hour, 8, place);
  const config = await arena.configure({ contacts: { windows, ...options.definition } });
  await options.prepare?.(arena);
  const worker = arena.start(config, 'worker');
  return {
    arena,
    config,
    worker,
    async finish() {
      await arena.row(`select 1 from udm_sync.runs where state = 'done' having count(*) = 8`);
      worker.signal('SIGTERM');
      expect((await worker.ended).code).toBe(0);
      expect(audit(await arena.facts([expectation]))).toEqual([]);
      expect(await attempts(arena)).toEqual({ file: 1, run: 1, failures: 0, jobs: 8 });
    },
  };
}

/** How often the most tried file and run were tried, and how many upstream jobs were made. */
async function attempts(arena: Arena) {
  const [most] = await arena.sql<{ file: number; run: number; failures: number }>(
    `select (select max(attempts) from udm_sync.files) as file, max(attempt) as run, max(failures) as failures
     from udm_sync.runs`,
  );
  return { ...most, jobs: arena.sim.state().jobs.length };
}
