import { parseArgs } from 'node:util';
import { parseSize } from '../src/config/size.ts';
import { UsageError } from '../src/errors.ts';
import type { DestinationKind } from './destination.ts';

export const caseNames = ['one-file', 'many-large', 'small-files'] as const;
export type CaseName = (typeof caseNames)[number];

export interface BenchOptions {
  readonly cases: readonly CaseName[];
  readonly destination: DestinationKind;
  /** How often each contender has its turn. */
  readonly runs: number;
  /** Bytes of each file; each case has its own default. */
  readonly size: number | undefined;
  /** Number of files; each case has its own default. */
  readonly files: number | undefined;
  /** Whether the programs of others take part. */
  readonly peers: boolean;
  /** A folder for CPU profiles of ours. */
  readonly profile: string | undefined;
  /** Whether a run waits a while for an idle machine. */
  readonly wait: boolean;
  readonly write: boolean;
  readonly json: boolean;
  /** Says on stderr what has just been done. */
  progress(line: string): void;
}

export const help = `Measures udm-sync against other ways of doing the same, on this machine, and prints tables.

Usage: npm run bench -- [flags]

  --case <name>        one-file, many-large or small-files; repeat for several (default: all)
  --destination <s3>   null (a server that keeps nothing, the default) or ceph (Ceph RGW)
  --runs <n>           runs of each contender of one-file (default 3)
  --size <bytes>       size of a file, with KiB, MiB or GiB (default 1GiB, 256MiB and 64KiB)
  --files <n>          number of files of many-large (default 64) and small-files (default 5000)
  --no-peers           ours and the floor only
  --profile <folder>   profile ours with --cpu-prof, and fold it into a table and a flame graph there
  --no-wait            begin at once, also on a busy machine
  --write              put the tables into docs/benchmarks.md
  --json               print the numbers as JSON
  --help

Example: npm run bench -- --case one-file --runs 5
Exit codes: 0 measured, whether or not the bars are met; 1 something failed; 2 wrong flags.
`;

/** @throws {UsageError} for flags that do not exist or make no sense; undefined means that help is asked for */
export function readOptions(args: readonly string[]): BenchOptions | undefined {
  const values = parse(args);
  if (values.help) return undefined;
  return {
    cases: (values.case ?? [...caseNames]).map((name) => oneOf('--case', name, caseNames)),
    destination: oneOf('--destination', values.destination ?? 'null', ['null', 'ceph'] as const),
    runs: count('--runs', values.runs) ?? 3,
    size: sizeOf('--size', values.size),
    files: count('--files', values.files),
    peers: !values['no-peers'],
    profile: values.profile,
    wait: !values['no-wait'],
    write: values.write ?? false,
    json: values.json ?? false,
    progress: (line) => console.error(line),
  };
}

function parse(args: readonly string[]) {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean' } as const;
  try {
    return parseArgs({
      args: [...args],
      options: {
        case: { type: 'string', multiple: true },
        destination: text,
        runs: text,
        size: text,
        files: text,
        'no-peers': flag,
        profile: text,
        'no-wait': flag,
        write: flag,
        json: flag,
        help: flag,
      },
    }).values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error), { hint: 'See --help.' });
  }
}

function oneOf<T extends string>(flag: string, text: string, words: readonly T[]): T {
  const found = words.find((word) => word === text);
  if (found !== undefined) return found;
  throw new UsageError(`${flag} must be one of ${words.join(', ')}, not "${text}".`, { hint: 'See --help.' });
}

function count(flag: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^[1-9]\d{0,6}$/.test(text)) return Number(text);
  throw new UsageError(`${flag} must be a whole number from 1 to 9999999, not "${text}".`, {
    hint: 'See --help.',
  });
}

function sizeOf(flag: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const bytes = parseSize(text);
  if (bytes !== undefined && bytes > 0) return bytes;
  throw new UsageError(`${flag} must look like 64KiB, 256MiB or 1GiB, not "${text}".`, {
    hint: 'See --help.',
  });
}
