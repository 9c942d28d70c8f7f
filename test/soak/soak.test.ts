import { randomInt } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Ground } from '../faults/arena.ts';
import { layGround } from '../faults/scene.ts';
import { play } from './play.ts';
import { generate } from './scenario.ts';
import { repeatCommand } from './summary.ts';

let ground: Ground;
beforeAll(async () => {
  ground = await layGround();
});
afterAll(() => (ground as Ground | undefined)?.s3.stop());

const fresh = `fresh/${randomInt(2 ** 31)}`;
console.log(`The fresh scenario of this run: ${repeatCommand(fresh)}`);

// Most of the time is spent waiting for whoever takes over from the dead, so all go on at once.
test.concurrent.each(['fixed/1', 'fixed/2', 'fixed/3', fresh])(
  'scenario %s',
  async (seed) => {
    const { violations, said } = await play(generate(seed), ground);
    if (violations.length > 0) console.log(`${said}\nagain: ${repeatCommand(seed)}`);
    expect(violations).toEqual([]);
  },
  400_000,
);
