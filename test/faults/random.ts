/** Numbers that look random and follow from a seed, so that what happened once can be made to happen again. */
export interface Random {
  /** In [0, 1). */
  next(): number;
  /** A whole number from `least` to `most`, both included. */
  whole(least: number, most: number): number;
  /** True in so many of 1 cases. */
  chance(share: number): boolean;
  pick<const T>(list: readonly [T, ...T[]]): T;
}

/** The same seed, the same numbers (mulberry32 over a hash of the words). */
export function randomOf(...seed: readonly (string | number)[]): Random {
  let state = 0x811c9dc5;
  for (const char of seed.join('/')) state = Math.imul(state ^ char.charCodeAt(0), 0x01000193) >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  };
  const whole = (least: number, most: number) => least + Math.floor(next() * (most - least + 1));
  return {
    next,
    whole,
    chance: (share) => next() < share,
    pick: (list) => list[whole(0, list.length - 1)] ?? list[0],
  };
}
