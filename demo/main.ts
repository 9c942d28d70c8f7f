/**
 * The real worker on parts that need nothing installed: a simulated UDM tenant, an embedded Postgres and an embedded
 * S3 server. `npm run demo` ends by itself; `npm run demo -- --keep` goes on and says how to query it.
 */
import { ListObjectsV2Command } from '@aws-sdk/client-s3';
import { humanBytes, humanDuration, print, table } from '../src/cli/output.ts';
import { showBars, showLines } from '../src/cli/progress.ts';
import { openSession } from '../src/cli/session.ts';
import type { Session } from '../src/cli/session.ts';
import { onInterrupt, pause } from '../src/cli/signals.ts';
import { loadConfig } from '../src/config/load.ts';
import { startWorker } from '../src/jobs/worker.ts';
import { createLogger } from '../src/log.ts';
import { listRuns } from '../src/store/runs.ts';
import { missingWindows } from '../src/jobs/plan.ts';
import { horizon } from '../src/jobs/windows.ts';
import { bucket, startParts } from './parts.ts';
import type { DemoParts } from './parts.ts';

/** Past this, something is wrong, and the demo says so instead of hanging. */
const giveUpMs = 60_000;

const [flag, ...rest] = process.argv.slice(2);
if ((flag !== undefined && flag !== '--keep') || rest.length > 0) {
  process.stderr.write(`demo: ${process.argv.slice(2).join(' ')} is not an option; there is only --keep.\n`);
  process.exit(2);
}
process.exitCode = await demo(flag === '--keep');

async function demo(keep: boolean): Promise<number> {
  const begun = performance.now();
  const interrupt = onInterrupt();
  print('Starting a simulated UDM tenant, an S3 server and a PostgreSQL server, all on this machine …');
  const parts = await startParts();
  try {
    // The environment is left out on purpose: the demo needs no configuration and takes none.
    const config = await loadConfig({ text: parts.config, path: 'the demo config', env: {} });
    const logger = createLogger(config.log.level, 'auto', 2);
    const session = await openSession(config, logger, { working: true, draining: interrupt.signal });
    try {
      print(
        `Ready after ${humanDuration(performance.now() - begun)}. Exporting the last hours of two definitions:\n`,
      );
      const view = process.stdout.isTTY
        ? showBars(session.pipeline.events)
        : showLines(session.pipeline.events);
      const worker = await startWorker(session.pipeline, { schedules: Object.values(config.definitions) });
      const done = await untilDone(session, begun, interrupt.signal);
      if (done) {
        await showBucket(parts);
        print(`\nDone in ${humanDuration(performance.now() - begun)}.`);
        if (keep) await stayUp(parts, interrupt.signal);
        else showNext();
      }
      view.stop();
      await worker.stop(config.worker.shutdownGraceMs);
      if (interrupt.signal.aborted) return keep && done ? 0 : 130;
      if (!done) process.stderr.write('demo: the exports did not finish in time.\n');
      return done ? 0 : 1;
    } finally {
      await session.close();
    }
  } finally {
    await parts.stop();
    interrupt.dispose();
  }
}

/** Waits until every window that is due has been planned and is done. */
async function untilDone(
  { config, pipeline }: Session,
  begun: number,
  signal: AbortSignal,
): Promise<boolean> {
  const at = new Date();
  while (!signal.aborted && performance.now() - begun < giveUpMs) {
    await pause(250, signal);
    let left = 0;
    for (const definition of Object.values(config.definitions)) {
      const { start, lengthMs, lagMs } = definition.windows;
      if (start)
        left += (
          await missingWindows(pipeline.db, definition, { from: start, to: horizon(at, lengthMs, lagMs) })
        ).length;
    }
    const runs = await listRuns(pipeline.db, { limit: 1000 });
    if (left === 0 && runs.every((run) => run.state === 'done')) return true;
  }
  return false;
}

async function showBucket({ s3 }: DemoParts): Promise<void> {
  const { Contents: objects = [] } = await s3.send(new ListObjectsV2Command({ Bucket: bucket }));
  print(`\nWhat lies in s3://${bucket} now:\n`);
  print(
    table(
      ['KEY', 'SIZE'],
      objects.map(({ Key, Size }) => [Key ?? '', humanBytes(Size ?? 0)]),
    ),
  );
  print(
    '\nEvery file was streamed there, compared with what the sink says it holds, recorded in Postgres, and only then\n' +
      'deleted upstream. A _manifest.json marks a window as complete; it was written last.',
  );
}

function showNext(): void {
  print(
    'Where to look next: `npm run demo -- --keep` stays up to be queried; README.md says how to deploy it.',
  );
}

async function stayUp(
  { configFile, s3Endpoint, simulatorUrl }: DemoParts,
  signal: AbortSignal,
): Promise<void> {
  print(`
It stays up, and exports each new hour, until you press Ctrl-C. In another terminal:

  npm run -s udm-sync -- status -c ${configFile}
  npm run -s udm-sync -- runs -c ${configFile}
  npm run -s udm-sync -- run-history 1 -c ${configFile}
  AWS_ACCESS_KEY_ID=demo AWS_SECRET_ACCESS_KEY=demo-secret aws --endpoint-url ${s3Endpoint} s3 ls --recursive s3://${bucket}
  curl ${simulatorUrl}/_sim/state
`);
  await pause(2 ** 31 - 1, signal);
}
