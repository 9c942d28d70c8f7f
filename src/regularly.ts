/** Something done again and again; see `regularly`. */
export interface Repetition {
  /** Begins no more, and waits for what is under way. */
  stop(): Promise<void>;
}

/**
 * Does something now, and then every so many ms: never twice at a time, so what takes longer misses its turns.
 *
 * @param action must not reject
 */
export function regularly(everyMs: number, action: () => Promise<void>): Repetition {
  let busy = false;
  let current = Promise.resolve();
  const turn = () => {
    if (busy) return;
    busy = true;
    current = action().finally(() => {
      busy = false;
    });
  };
  turn();
  const timer = setInterval(turn, everyMs);
  return {
    async stop() {
      clearInterval(timer);
      await current;
    },
  };
}
