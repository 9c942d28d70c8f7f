import { describeError } from '../errors.ts';
import { adopts } from '../jobs/adopt.ts';
import { planDue } from '../jobs/plan.ts';
import { listRuns, unfinishedStates } from '../store/runs.ts';
import { AdoptingOnce } from './adopting.ts';
import { definitionNamed, durationOf } from './arguments.ts';
import { exitCodes } from './exit-codes.ts';
import { showBars } from './progress.ts';
import { reportWork } from './report.ts';
import { openConfig } from './open-config.ts';
import { openPage, pageByFlag } from './page.ts';
import type { PageFlag } from './page.ts';
import type { GlobalOptions } from './open-config.ts';
import { inSession } from './session.ts';
import { onInterrupt } from './signals.ts';
import { preflight, workUntilDone } from './work.ts';

export interface RunOptions extends GlobalOptions, PageFlag {
  readonly timeout?: string;
}

/** `udm-sync run [definition…]`: plans what is due, works until it is done, exits. For a CronJob. */
export async function runCommand(names: readonly string[], options: RunOptions): Promise<number> {
  const timeoutMs = options.timeout === undefined ? undefined : durationOf('--timeout', options.timeout);
  const bars = process.stdout.isTTY && !options.json;
  const { config, logger } = await openConfig(options, {
    to: options.json ? 2 : 1,
    ...(bars ? { level: 'error' } : {}),
  });
  const wanted =
    names.length > 0
      ? [...new Set(names)].map((name) => definitionNamed(config, name))
      : Object.values(config.definitions);
  const settings = pageByFlag(config, options);
  const interrupt = onInterrupt();
  const needs = { working: true, draining: interrupt.signal };
  return inSession(config, logger, needs, async (session) => {
    const { pipeline } = session;
    const { able: definitions } = await preflight(pipeline, wanted, interrupt);
    if (interrupt.signal.aborted) return exitCodes.interrupted;
    if (definitions.length === 0) return exitCodes.failed;
    const adopting = new AdoptingOnce(pipeline, definitions.filter(adopts), interrupt.signal);
    const earlier = (
      await Promise.all(
        definitions.map(({ name }) =>
          listRuns(pipeline.db, { definition: name, states: unfinishedStates, limit: 10_000 }),
        ),
      )
    ).flat();
    const page = await openPage(session, settings);
    const view = bars ? showBars(pipeline.events) : undefined;
    let first = true;
    const { runs, exitCode } = await workUntilDone(pipeline, {
      timeoutMs,
      interrupt,
      feed: async (unfinished) => {
        const ids = first ? earlier.map((run) => run.id) : [];
        first = false;
        const adopted = await adopting.look(unfinished);
        ids.push(...adopted.map((run) => run.id));
        let planned = adopted.length;
        for (const definition of definitions) {
          if (definition.adopt) continue;
          try {
            const runs = await planDue(pipeline, definition);
            planned += runs.length;
            ids.push(...runs.map((run) => run.id));
          } catch (error) {
            logger.error({ definition: definition.name, reason: describeError(error) }, 'planning failed');
          }
        }
        // What was planned now may leave more to plan once it is done.
        return { ids, more: planned > 0 || adopting.unfinished };
      },
    }).finally(async () => {
      view?.stop();
      await page.close();
    });
    // What could be done is done; what could not even be looked at is no success.
    const whole = definitions.length === wanted.length && !adopting.failed;
    const code = exitCode === exitCodes.done && !whole ? exitCodes.failed : exitCode;
    reportWork(runs, options.json === true, code);
    return code;
  }).finally(() => interrupt.dispose());
}
