import { expect, test } from 'vitest';
import { cached } from '../../src/metrics/cached.ts';
import { expectedLagMs } from '../../src/metrics/expected-lag.ts';
import { load } from '../config/fixture.ts';

const never = new Promise<never>(() => undefined);
const late = { message: 'no answer within 0.01 s' };

test('however many ask, there is one question under way, and its answer is good for a while', async () => {
  let asked = 0;
  const ask = cached(() => Promise.resolve(++asked), { freshMs: 60_000, patienceMs: 10_000 });
  expect(await Promise.all([ask(), ask(), ask()])).toEqual([{ value: 1 }, { value: 1 }, { value: 1 }]);
  expect(await ask()).toEqual({ value: 1 });
  expect(asked).toBe(1);
});

test('nobody waits longer than they have patience for, and nothing is asked twice at once', async () => {
  let asked = 0;
  const ask = cached(
    () => {
      asked += 1;
      return never;
    },
    { freshMs: 1, patienceMs: 10 },
  );
  expect(await ask()).toMatchObject({ value: undefined, error: late });
  expect(await ask()).toMatchObject({ value: undefined, error: late });
  expect(asked).toBe(1);
});

test('an answer that came too late serves the next, and an old one is given if it may be', async () => {
  const answers = [Promise.resolve('first'), Promise.reject(new Error('down')), never];
  const next = () => answers.shift() ?? never;
  const ask = cached(next, { freshMs: 0, patienceMs: 10, staleMs: 60_000 });
  expect(await ask()).toEqual({ value: 'first' });
  expect(await ask()).toMatchObject({ value: 'first', error: { message: 'down' } });
  expect(await ask()).toMatchObject({ value: 'first', error: late });
  const strict = cached(() => Promise.reject(new Error('down')), { freshMs: 0, patienceMs: 10 });
  expect(await strict()).toMatchObject({ value: undefined, error: { message: 'down' } });
});

test.each([
  ['each hour', { cron: '5 * * * *' }, 3_600_000 + 900_000 + 3_600_000],
  ['on working days', { cron: '*/15 * * * 1-5', timeZone: 'UTC' }, 4_500_000 + 2 * 86_400_000 + 900_000],
  ['each second', { cron: '* * * * * *' }, 4_500_000 + 1000],
  ['each year', { cron: '0 0 1 1 *' }, 4_500_000 + 366 * 86_400_000],
])('what keeps up with a schedule %s lags at most so far behind', async (_, schedule, expected) => {
  const config = await load({ 'definitions/hourly/schedule': schedule });
  const definition = config.definitions['hourly'];
  expect(definition && expectedLagMs(definition)).toBe(expected);
});

test('without a schedule there is nothing to expect', async () => {
  const definition = (await load()).definitions['hourly'];
  expect(definition && expectedLagMs(definition)).toBeUndefined();
});
