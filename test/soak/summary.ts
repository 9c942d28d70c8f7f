import type { Outcome } from './play.ts';

/** A whole run of the soak, as JSON. */
export interface Summary {
  readonly seed: string;
  readonly at: string;
  readonly minutes: number;
  readonly s3: string;
  readonly scenarios: number;
  /** Signals sent to processes, by name. */
  readonly signals: Readonly<Record<string, number>>;
  /** Everything else that was done to the world, by kind. */
  readonly faults: Readonly<Record<string, number>>;
  readonly runs: number;
  readonly files: number;
  readonly bytes: number;
  readonly violations: readonly {
    readonly scenario: string;
    readonly what: string;
    readonly repeat: string;
  }[];
}

/** The command that plays a scenario again, with some of its actions. */
export function repeatCommand(seed: string, kept?: readonly number[]): string {
  return `npm run soak -- --scenario ${seed}${kept ? ` --keep ${kept.length > 0 ? kept.join(',') : 'none'}` : ''}`;
}

export function summarise(
  seed: string,
  at: Date,
  s3: string,
  tookMs: number,
  outcomes: readonly Outcome[],
): Summary {
  const all: Record<string, number> = {};
  for (const { faults } of outcomes)
    for (const [kind, n] of Object.entries(faults)) all[kind] = (all[kind] ?? 0) + n;
  const part = (signals: boolean) =>
    Object.fromEntries(
      Object.entries(all)
        .filter(([kind]) => kind.startsWith('SIG') === signals)
        .sort(([a], [b]) => a.localeCompare(b)),
    );
  const sum = (of: 'runs' | 'files' | 'bytes') => outcomes.reduce((total, each) => total + each[of], 0);
  return {
    seed,
    at: at.toISOString(),
    minutes: Math.round(tookMs / 6_000) / 10,
    s3,
    scenarios: outcomes.length,
    signals: part(true),
    faults: part(false),
    runs: sum('runs'),
    files: sum('files'),
    bytes: sum('bytes'),
    violations: outcomes.flatMap(({ scenario, violations }) =>
      violations.map((what) => ({ scenario: scenario.seed, what, repeat: repeatCommand(scenario.seed) })),
    ),
  };
}

const total = (counts: Readonly<Record<string, number>>) => Object.values(counts).reduce((a, b) => a + b, 0);

/** The figures for people, as Markdown. */
export function asMarkdown(summary: Summary): string {
  const { seed, at, minutes, s3, scenarios, signals, faults, runs, files, bytes, violations } = summary;
  const mib = Math.round(bytes / 1024 / 1024);
  return [
    `Last long run: ${at.slice(0, 10)}, seed \`${seed}\`, ${minutes} minutes, S3 by ${s3}.`,
    '',
    '| what | how often |',
    '| --- | --- |',
    `| scenarios | ${scenarios} |`,
    `| runs, objects, MiB | ${runs}, ${files}, ${mib} |`,
    ...Object.entries(signals).map(([kind, n]) => `| ${kind} to a worker | ${n} |`),
    `| other faults that took effect | ${total(faults)} |`,
    ...Object.entries(faults).map(([kind, n]) => `| – ${kind} | ${n} |`),
    `| violations | ${violations.length} |`,
  ].join('\n');
}

const [begin, end] = ['<!-- soak:begin -->', '<!-- soak:end -->'];

/** The document with the figures between its markers. Throws if it has none. */
export function withFigures(document: string, figures: string): string {
  const [from, to] = [document.indexOf(begin), document.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`The document has no ${begin} … ${end}.`);
  return `${document.slice(0, from + begin.length)}\n\n${figures}\n\n${document.slice(to)}`;
}
