/** The sign of life of a worker's loop. */
export interface Pulse {
  /** The loop has turned. */
  beat(): void;
  /** Ms since it last did. */
  age(): number;
  /** Unix time of that, in ms. */
  readonly lastBeat: number;
}

/** Begins with a beat: a worker that has just started is alive. */
export function createPulse(): Pulse {
  let wall = Date.now();
  // Ages are told by a clock that nobody sets.
  let steady = performance.now();
  return {
    beat() {
      wall = Date.now();
      steady = performance.now();
    },
    age: () => performance.now() - steady,
    get lastBeat() {
      return wall;
    },
  };
}
