export interface Interrupt {
  /** Aborted at the first SIGINT or SIGTERM. */
  readonly signal: AbortSignal;
  /** Which signal it was. */
  received(): NodeJS.Signals | undefined;
  /** Stops listening. */
  dispose(): void;
}

/** The first SIGINT or SIGTERM asks to finish; a second one ends the process at once. */
export function onInterrupt(): Interrupt {
  const controller = new AbortController();
  let first: NodeJS.Signals | undefined;
  const listen = (signal: NodeJS.Signals) => {
    if (first !== undefined) process.exit(130);
    first = signal;
    controller.abort();
  };
  process.on('SIGINT', listen);
  process.on('SIGTERM', listen);
  return {
    signal: controller.signal,
    received: () => first,
    dispose() {
      process.off('SIGINT', listen);
      process.off('SIGTERM', listen);
    },
  };
}

/** Waits for `ms`, or less if the signal aborts. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done);
  });
}
