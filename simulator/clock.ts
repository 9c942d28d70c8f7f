/** The simulator's own time, in ms since the epoch. It decides when jobs end, tokens and URLs expire, files vanish. */
export interface SimClock {
  /** Simulated ms since the epoch, UTC. */
  now(): number;
  /** Moves the clock forward by so many simulated ms. */
  advance(ms: number): void;
  /** Moves the clock to a moment. */
  set(time: Date | number): void;
  /** Simulated ms for each real ms; 0 stands still. */
  speed: number;
}

/** A clock that runs at real time × `speed` from `startAt`; nothing is scheduled on it, it is only read. */
export function createClock(startAt: number, initialSpeed: number): SimClock {
  let speed = initialSpeed;
  let base = startAt;
  let since = performance.now();
  const now = () => Math.floor(base + (performance.now() - since) * speed);
  const rebase = (time: number) => {
    base = time;
    since = performance.now();
  };
  return {
    now,
    advance: (ms) => rebase(now() + ms),
    set: (time) => rebase(Number(time)),
    get speed() {
      return speed;
    },
    set speed(value) {
      rebase(now());
      speed = value;
    },
  };
}
