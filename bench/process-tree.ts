import { readFileSync } from 'node:fs';

/** Memory of processes, from /proc. All zero where there is no /proc. */
export interface TreeMemory {
  /** Bytes resident now, summed. */
  readonly resident: number;
  /** Each process's own highest, summed over those alive now: an upper bound of what all held at once. */
  readonly highest: number;
}

/** Kernel ticks in a second, the same on every Linux that Node runs on. */
const ticksPerSecond = 100;

/** Memory of all descendants of a process, without the process itself. */
export function memoryBelow(pid: number): TreeMemory {
  let resident = 0;
  let highest = 0;
  for (const each of descendants(pid)) {
    const status = read(`/proc/${each}/status`);
    resident += kibibytes(status, 'VmRSS');
    highest += kibibytes(status, 'VmHWM');
  }
  return { resident, highest };
}

/** CPU seconds, user and system, that a process has used so far; 0 if it is gone. */
export function cpuSecondsOf(pid: number): number {
  // The name in parentheses may hold blanks.
  const fields = read(`/proc/${pid}/stat`)
    .replace(/^.*\) /, '')
    .split(' ');
  const ticks = Number(fields[11] ?? 0) + Number(fields[12] ?? 0);
  return ticks / ticksPerSecond;
}

function descendants(pid: number): number[] {
  const children = read(`/proc/${pid}/task/${pid}/children`).split(' ').filter(Boolean).map(Number);
  return children.flatMap((child) => [child, ...descendants(child)]);
}

function kibibytes(status: string, name: string): number {
  return Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0) * 1024;
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
