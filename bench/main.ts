import { describeError, UsageError } from '../src/errors.ts';
import { manyLarge } from './cases/many-large.ts';
import { oneFile } from './cases/one-file.ts';
import { smallFiles } from './cases/small-files.ts';
import { describeMachine } from './machine.ts';
import { help, readOptions } from './options.ts';
import type { BenchOptions, CaseName } from './options.ts';
import { toMarkdown, writeResult } from './report.ts';
import type { CaseResult } from './result.ts';

const cases: Readonly<Record<CaseName, (options: BenchOptions) => Promise<CaseResult>>> = {
  'one-file': oneFile,
  'many-large': manyLarge,
  'small-files': smallFiles,
};

async function main(): Promise<void> {
  const options = readOptions(process.argv.slice(2));
  if (!options) {
    console.log(help);
    return;
  }
  const machine = await describeMachine();
  const numbers: unknown[] = [];
  for (const name of options.cases) {
    const result = await cases[name](options);
    const markdown = toMarkdown(result, machine);
    const { id, bars, data } = result;
    if (options.json) numbers.push({ case: id, bars, data });
    else console.log(`\n${markdown}`);
    if (options.write) await writeResult(result, markdown);
  }
  if (options.json) console.log(JSON.stringify({ machine, cases: numbers }, undefined, 2));
}

try {
  await main();
} catch (error) {
  const usage = error instanceof UsageError;
  console.error(`bench: ${describeError(error)}`);
  process.exitCode = usage ? 2 : 1;
}
