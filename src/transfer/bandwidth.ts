import { setTimeout as delay } from 'node:timers/promises';

/** How far ahead of its time the limit lets somebody go, in ms: short pauses are not worth a timer. */
const slackMs = 20;
/** Bytes that are read between two looks at the limit. */
export const stretchBytes = 256 * 1024;

/** A limit on bytes per second, shared by all transfers of a process. Whoever comes first is served first. */
export class Bandwidth {
  readonly #bytesPerMs: number;
  readonly #now: () => number;
  /** When the bytes that were granted so far have had their time, on the same clock. */
  #busyUntil = 0;

  /** @param bytesPerSecond at least 1 */
  constructor(bytesPerSecond: number, now: () => number = () => performance.now()) {
    this.#bytesPerMs = bytesPerSecond / 1000;
    this.#now = now;
  }

  /** Grants so many bytes; returns how many ms to wait before they may be moved. */
  take(bytes: number): number {
    const now = this.#now();
    const begin = Math.max(now, this.#busyUntil);
    this.#busyUntil = begin + bytes / this.#bytesPerMs;
    return begin - now > slackMs ? begin - now : 0;
  }

  /** Waits until so many bytes may be moved. */
  async wait(bytes: number, signal: AbortSignal): Promise<void> {
    const ms = this.take(bytes);
    if (ms > 0) await delay(ms, undefined, { signal });
  }
}
