import { afterAll, describe, expect, test } from 'vitest';
import { effects } from '../../src/crash-points.ts';
import type { CrashPoint } from '../../src/crash-points.ts';
import { audit } from '../auditor/rules.ts';
import { historyLines } from '../support/history-lines.ts';
import { modes, play } from './crash-scenario.ts';
import type { Mode, Outcome } from './crash-scenario.ts';
import { startWorld } from './world.ts';
import type { World } from './world.ts';

/** UDM_SYNC_TEST_CRASH=all (npm run soak:crash): every point in every mode, and silence is really waited for. */
const all = process.env['UDM_SYNC_TEST_CRASH'] === 'all';
/** UDM_SYNC_TEST_CRASH_ONLY='^freeze before:create-job$': only the scenarios whose names match. */
const only = process.env['UDM_SYNC_TEST_CRASH_ONLY'];

const points = effects.flatMap((effect): CrashPoint[] => [`before:${effect}`, `after:${effect}`]);

/** Where a worker that wakes up after it was replaced could do the most harm. */
const worthFreezing: readonly CrashPoint[] = [
  'before:create-job',
  'before:s3-put',
  'before:s3-complete',
  'before:commit-files',
  'before:manifest',
  'before:delete-files',
  'before:delete-history',
];

/** Those of `npm test`: each point once, beside another worker or alone, and the ones above frozen as well. */
function isUsual(point: CrashPoint, mode: Mode, index: number): boolean {
  if (mode === 'freeze-overlap') return false;
  if (mode === 'freeze') return worthFreezing.includes(point);
  return (mode === 'kill') === ((index + (index >> 1)) % 2 === 0);
}

const scenarios = points
  .flatMap((point, index) => modes.map((mode) => ({ point, mode, usual: isUsual(point, mode, index) })))
  // An operator's command holds no work that others could take over.
  .filter(({ point, mode }) => !(mode.startsWith('freeze') && point.includes(':request-')))
  .filter(({ point, mode, usual }) => (only === undefined ? all || usual : `${mode} ${point}`.match(only)));

/** A world of its own for as many scenarios as are played at a time. */
interface Lane {
  readonly world: World;
  readonly outcomes: Outcome[];
}
const idle: Lane[] = [];
const lanes: Lane[] = [];

async function inLane(action: (lane: Lane) => Promise<void>): Promise<void> {
  let lane = idle.pop();
  if (!lane) {
    lane = { world: await startWorld(), outcomes: [] };
    lanes.push(lane);
  }
  try {
    await action(lane);
  } catch (error) {
    console.log(lane.world.said());
    // What is left of it must not disturb the next one.
    await lane.world.stop();
    lanes.splice(lanes.indexOf(lane), 1);
    throw error;
  }
  idle.push(lane);
}

afterAll(async () => {
  for (const { world } of lanes) await world.stop();
});

const times: string[] = [];

describe.concurrent('a worker', () => {
  const name = (mode: Mode, point: CrashPoint) => `${mode} ${point}`;
  for (const { point, mode } of scenarios)
    test(name(mode, point), { timeout: 240_000 }, async () => {
      await inLane(async ({ world, outcomes }) => {
        const begun = performance.now();
        outcomes.push(await play(world, { point, mode, realTime: all || mode.startsWith('freeze') }));
        times.push(`${((performance.now() - begun) / 1000).toFixed(1)} s ${name(mode, point)}`);
      });
    });
});

test('everything made upstream is stored once, and nothing was deleted too early', async () => {
  console.log(times.join('\n'));
  for (const { world, outcomes } of lanes) {
    const expected = outcomes.flatMap((outcome) => outcome.expected);
    const adopted = outcomes.flatMap((outcome) => outcome.adopted);
    const complaints = audit(await world.facts(expected, adopted));
    if (complaints.length > 0) console.log(await historyLines(world));
    expect(complaints).toEqual([]);
  }
  expect(
    lanes.flatMap(({ outcomes }) => outcomes),
    'scenarios that came to their end',
  ).toHaveLength(scenarios.length);
}, 240_000);
