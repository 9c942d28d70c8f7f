import { execFile } from 'node:child_process';
import { access, constants } from 'node:fs/promises';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';

const root = join(import.meta.dirname, '..');

/** One line on what the bench ran on, and on which state of the code. */
export async function describeMachine(): Promise<string> {
  const processors = cpus();
  const memory = Math.round(totalmem() / 1024 ** 3);
  const commit = await firstLine('git', ['-C', root, 'describe', '--always', '--dirty', '--abbrev=10']);
  const day = new Date().toISOString().slice(0, 10);
  const model = processors[0]?.model.trim() ?? 'unknown processor';
  return `${day}, commit ${commit ?? 'unknown'}, Node ${process.versions.node}, ${processors.length} × ${model}, ${memory} GiB, loopback`;
}

/** The first line that a program prints; undefined if it cannot be run. */
export async function firstLine(program: string, args: readonly string[]): Promise<string | undefined> {
  try {
    const { stdout } = await promisify(execFile)(program, args);
    return stdout.split('\n')[0]?.trim();
  } catch {
    return undefined;
  }
}

/**
 * Where a program is. The distribution's comes first: what lies before it in PATH may be a version manager's shim, whose
 * own start would be charged to the program.
 */
export async function findProgram(name: string): Promise<string | undefined> {
  for (const folder of ['/usr/bin', ...(process.env['PATH'] ?? '').split(':')]) {
    const path = join(folder, name);
    try {
      await access(path, constants.X_OK);
      return path;
    } catch {
      // Not here.
    }
  }
  return undefined;
}

/** How long a run waits for a machine that is busy with something else. */
const calmWithinMs = 8_000;

/** Waits until the processors have been idle, all but an eighth, for half a second. False if that does not come in time. */
export async function waitForCalm({ wait }: { readonly wait: boolean }): Promise<boolean> {
  const deadline = performance.now() + (wait ? calmWithinMs : 0);
  let before = processorTimes();
  do {
    await delay(500);
    const now = processorTimes();
    if ((now.busy - before.busy) * 8 <= now.all - before.all) return true;
    before = now;
  } while (performance.now() < deadline);
  return false;
}

function processorTimes(): { busy: number; all: number } {
  let [busy, all] = [0, 0];
  for (const { times } of cpus()) {
    const used = times.user + times.nice + times.sys + times.irq;
    busy += used;
    all += used + times.idle;
  }
  return { busy, all };
}
