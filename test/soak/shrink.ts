import type { Scenario } from './scenario.ts';

/** A scenario with only some of its actions, by their numbers. */
export function keepOnly(scenario: Scenario, kept: readonly number[]): Scenario {
  return { ...scenario, actions: scenario.actions.filter((_, index) => kept.includes(index)) };
}

/**
 * Drops actions one by one for as long as the scenario still fails; returns the numbers of those that are needed.
 * What fails by chance of timing may shrink too far or too little: the first command remains worth repeating.
 */
export async function shrink(
  scenario: Scenario,
  fails: (smaller: Scenario) => Promise<boolean>,
  mayGoOn: () => boolean = () => true,
): Promise<number[]> {
  let kept = scenario.actions.map((_, index) => index);
  for (const index of [...kept].reverse()) {
    if (!mayGoOn()) break;
    const without = kept.filter((each) => each !== index);
    if (await fails(keepOnly(scenario, without))) kept = without;
  }
  return kept;
}
