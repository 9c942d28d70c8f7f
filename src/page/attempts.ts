/** Wrong tokens that one address may show in a minute. */
const most = 5;
const spanMs = 60_000;
/** Addresses remembered at once; the oldest are dropped. */
const addresses = 1000;

/** Counts wrong tokens by the address they came from. */
export class Attempts {
  readonly #failures = new Map<string, number[]>();

  /** How long an address has to wait before it may try again, in ms; 0: it may. */
  waitMs(address: string, nowMs: number): number {
    const recent = this.#recent(address, nowMs);
    const first = recent.at(-most);
    return first === undefined ? 0 : first + spanMs - nowMs;
  }

  failed(address: string, nowMs: number): void {
    const recent = this.#recent(address, nowMs);
    this.#failures.delete(address);
    this.#failures.set(address, [...recent, nowMs]);
    const [oldest] = this.#failures.keys();
    if (this.#failures.size > addresses && oldest !== undefined) this.#failures.delete(oldest);
  }

  #recent(address: string, nowMs: number): number[] {
    return (this.#failures.get(address) ?? []).filter((at) => at > nowMs - spanMs);
  }
}
