import { randomInt } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { format, resolveConfig } from 'prettier';
import { migrateDatabase } from '../../src/store/migrate.ts';
import { buildCli } from '../e2e/build.ts';
import type { Ground } from '../faults/arena.ts';
import { startTestServer } from '../support/postgres-server.ts';
import { createTemplate } from '../support/postgres.ts';
import { startS3Server } from '../support/s3.ts';
import { play } from './play.ts';
import type { Outcome } from './play.ts';
import { generate } from './scenario.ts';
import type { Scenario } from './scenario.ts';
import { keepOnly, shrink } from './shrink.ts';
import { asMarkdown, repeatCommand, summarise, withFigures } from './summary.ts';

const HELP = `Plays random scenarios with real workers, breaks everything around them, and judges what came out.

Usage: npm run soak -- [flags]

  --minutes <n>      how long new scenarios are begun (default 10)
  --seed <text>      decides everything but the timing of the machine (default: a fresh one, printed)
  --parallel <n>     scenarios at once (default 4): most of their time is waiting
  --s3 <kind>        auto, ceph or fauxqs (default auto: Ceph where it is installed)
  --scenario <seed>  plays this one alone, as a failed one asks for
  --keep <numbers>   with --scenario: only these of its actions, such as 0,3 or none
  --times <n>        with --scenario: so many times (default 1)
  --no-shrink        leaves failed scenarios as they are
  --json <file>      writes the summary as JSON
  --write            writes the figures into docs/guarantees.md
  --log <file>       what the processes of failed scenarios printed
  --help

Example: npm run soak -- --minutes 15 --seed 7 --json soak.json --write
Exit codes: 0 no violation, 1 violations, 2 wrong flags.
`;

class FlagError extends Error {}

function readFlags(args: string[]) {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean' } as const;
  try {
    return parseArgs({
      args,
      options: {
        minutes: text,
        seed: text,
        parallel: text,
        s3: text,
        scenario: text,
        keep: text,
        times: text,
        'no-shrink': flag,
        json: text,
        write: flag,
        log: text,
        help: flag,
      },
    }).values;
  } catch (error) {
    throw new FlagError(error instanceof Error ? error.message : String(error));
  }
}

function numberOf(flag: string, value: string, least: number, most: number): number {
  const number = Number(value);
  if (!(number >= least && number <= most) || value.trim() === '')
    throw new FlagError(`--${flag} must be a number from ${least} to ${most}, not "${value}".`);
  return number;
}

function s3Kind(value: string): 'auto' | 'ceph' | 'fauxqs' {
  if (value === 'auto' || value === 'ceph' || value === 'fauxqs') return value;
  throw new FlagError(`--s3 must be auto, ceph or fauxqs, not "${value}".`);
}

function keptOf(value: string): number[] {
  if (value === 'none') return [];
  if (!/^\d+(,\d+)*$/.test(value)) throw new FlagError(`--keep must look like 0,3 or none, not "${value}".`);
  return value.split(',').map(Number);
}

async function layGround(kind: 'auto' | 'ceph' | 'fauxqs') {
  const server = await startTestServer();
  const stops = [() => server.stop()];
  const stop = async () => {
    for (const each of stops.reverse()) await each();
  };
  try {
    const template = await createTemplate(server.url, migrateDatabase);
    const main = await buildCli(server.url);
    const s3 = await startS3Server(kind);
    stops.push(() => s3.stop());
    const ground: Ground = { main, postgres: { url: server.url, template }, s3 };
    return { ground, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

function report({ scenario, violations, tookMs, runs }: Outcome): void {
  const harm = `${scenario.actions.length} actions, ${runs} runs, ${(tookMs / 1000).toFixed(1)} s`;
  console.log(`${violations.length === 0 ? 'ok  ' : 'FAIL'} ${scenario.seed}: ${harm}`);
  for (const violation of violations) console.log(`     ${violation}`);
  if (violations.length > 0) console.log(`     again: ${repeatCommand(scenario.seed)}`);
}

async function main(): Promise<number> {
  const flags = readFlags(process.argv.slice(2));
  if (flags.help) {
    console.log(HELP);
    return 0;
  }
  const minutes = numberOf('minutes', flags.minutes ?? '10', 0.1, 10_000);
  const parallel = numberOf('parallel', flags.parallel ?? '4', 1, 64);
  const times = numberOf('times', flags.times ?? '1', 1, 10_000);
  const kind = s3Kind(flags.s3 ?? 'auto');
  const seed = flags.seed ?? String(randomInt(2 ** 31));
  const kept = flags.keep === undefined ? undefined : keptOf(flags.keep);
  if (kept && flags.scenario === undefined) throw new FlagError('--keep goes with --scenario.');
  console.log(flags.scenario === undefined ? `seed ${seed}` : `scenario ${flags.scenario}`);

  const begun = new Date();
  const { ground, stop } = await layGround(kind);
  const outcomes: Outcome[] = [];
  try {
    const deadline = begun.getTime() + minutes * 60_000;
    let number = 0;
    const next = (): Scenario | undefined => {
      number += 1;
      if (flags.scenario === undefined)
        return Date.now() < deadline ? generate(`${seed}/${number}`) : undefined;
      if (number > times) return undefined;
      const scenario = generate(flags.scenario);
      return kept ? keepOnly(scenario, kept) : scenario;
    };
    const lane = async () => {
      for (let scenario = next(); scenario; scenario = next()) {
        const outcome = await play(scenario, ground);
        outcomes.push(outcome);
        report(outcome);
      }
    };
    await Promise.all(Array.from({ length: parallel }, lane));
    const failed = outcomes.filter(({ violations }) => violations.length > 0);
    if (flags.log !== undefined)
      await writeFile(
        flags.log,
        failed.map(({ scenario, said }) => `=== ${scenario.seed}\n${said}\n`).join('\n'),
      );
    const [first] = failed;
    if (first && !flags['no-shrink']) await tryToShrink(first, ground);
  } finally {
    await stop();
  }
  const summary = summarise(seed, begun, ground.s3.kind, Date.now() - begun.getTime(), outcomes);
  const figures = asMarkdown(summary);
  console.log(`\n${figures}`);
  if (flags.json !== undefined) await writeFile(flags.json, `${JSON.stringify(summary, null, 2)}\n`);
  if (flags.write) {
    const document = join(import.meta.dirname, '../../docs/guarantees.md');
    const text = withFigures(await readFile(document, 'utf8'), figures);
    await writeFile(document, await format(text, { ...(await resolveConfig(document)), filepath: document }));
  }
  return summary.violations.length > 0 ? 1 : 0;
}

async function tryToShrink({ scenario, violations }: Outcome, ground: Ground): Promise<void> {
  console.log(`shrinking ${scenario.seed} …`);
  const rules = new Set(violations.map((violation) => violation.split(':')[0]));
  const until = Date.now() + 5 * 60_000;
  const fails = async (smaller: Scenario) =>
    (await play(smaller, ground)).violations.some((violation) => rules.has(violation.split(':')[0]));
  const kept = await shrink(scenario, fails, () => Date.now() < until);
  for (const index of kept) console.log(`     ${index}: ${JSON.stringify(scenario.actions[index])}`);
  console.log(`     again: ${repeatCommand(scenario.seed, kept)}`);
}

try {
  process.exitCode = await main();
} catch (error) {
  const message = error instanceof Error ? error.message : String(error);
  console.error(error instanceof FlagError ? `${message} See --help.` : `The soak ended early: ${message}`);
  process.exitCode = error instanceof FlagError ? 2 : 1;
}
