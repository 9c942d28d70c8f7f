import { extname } from 'node:path';
import { UsageError } from '../errors.ts';
import { counted, humanBytes } from '../format.ts';
import { fileOutput, stdoutOutput } from '../report/output.ts';
import { report, reportFormats } from '../report/report.ts';
import type { ReportFormat } from '../report/report.ts';
import type { Totals } from '../report/summary.ts';
import { definitionsWithRuns } from '../store/report.ts';
import { definitionNamed, instantOf } from './arguments.ts';
import { exitCodes } from './exit-codes.ts';
import { openConfig } from './open-config.ts';
import type { GlobalOptions } from './open-config.ts';
import { inSession } from './session.ts';

export interface ReportOptions extends GlobalOptions {
  readonly from: string;
  readonly to: string;
  readonly definition?: string;
  readonly format?: string;
  readonly output: string;
}

const longestYears = 100;

/** `udm-sync report`: what became of the windows of a range and of their files, as evidence. */
export async function reportCommand(options: ReportOptions): Promise<number> {
  const from = instantOf('--from', options.from);
  const to = instantOf('--to', options.to);
  if (from >= to)
    throw new UsageError(`--from is "${options.from}" and --to is "${options.to}"; --from must be earlier.`);
  if (to.getTime() - from.getTime() > longestYears * 366 * 86_400_000)
    throw new UsageError(
      `--from is "${options.from}" and --to is "${options.to}"; a report is about at most ${longestYears} years.`,
    );
  const format = formatOf(options);
  const { definition } = options;
  const { config, logger } = await openConfig(options, { to: 2, level: 'error' });
  const toFile = options.output !== '-';
  const totals = await inSession(config, logger, { working: false }, async ({ pipeline: { db } }) => {
    // Runs outlive their definition, so only a name that neither config nor database knows is a mistake.
    if (definition !== undefined && !(await definitionsWithRuns(db)).includes(definition))
      definitionNamed(config, definition);
    const output = toFile ? await fileOutput('--output', options.output) : stdoutOutput;
    try {
      return await report(db, config, { from, to, format, definition }, (text) => output.write(text));
    } finally {
      await output.discard();
    }
  });
  // Stdout may be the report itself.
  if (toFile) process.stderr.write(`Wrote ${options.output}: ${inWords(totals)}.\n`);
  return exitCodes.done;
}

function inWords({ windows, files, bytes }: Totals): string {
  const all = Object.values(windows).reduce((total, n) => total + n, 0);
  const safe = files.deleted + files.verified;
  return `${counted(all, 'window')}, ${windows.done} done; ${counted(safe, 'file')} verified (${humanBytes(bytes)}), ${files.deleted} deleted upstream, ${files.dead} dead, ${files.lost} lost`;
}

/** The format asked for; else the one that the file's name ends in, else JSON. */
function formatOf({ format, output }: ReportOptions): ReportFormat {
  const wanted = format ?? extname(output).slice(1).toLowerCase();
  const known = reportFormats.find((name) => name === wanted || (wanted === 'htm' && name === 'html'));
  if (known) return known;
  if (format !== undefined)
    throw new UsageError(`--format is "${format}"; it must be one of: ${reportFormats.join(', ')}.`);
  return 'json';
}
