/** A bar of the project, and where we are. */
export interface Bar {
  /** For example `CPU per GiB ≤ 1.3 × floor`. */
  readonly what: string;
  readonly value: number;
  /** The most, or with `atLeast` the least, that `value` may be. */
  readonly bound: number;
  readonly atLeast?: boolean;
  /** After the number: `×`, `MiB`. */
  readonly unit: string;
}

/** A case as it came out, ready to be shown: a title, a table, bars, and remarks. */
export interface CaseResult {
  readonly id: string;
  readonly title: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
  readonly bars: readonly Bar[];
  readonly remarks: readonly string[];
  /** Shown as it is, in a fixed-width font. */
  readonly plot?: string;
  /** The numbers behind the table, for --json. */
  readonly data: unknown;
}

export function isMet({ value, bound, atLeast = false }: Bar): boolean {
  return atLeast ? value >= bound : value <= bound;
}

/** A case that could not be measured here. */
export function skipped(id: string, title: string, why: string): CaseResult {
  return { id, title, columns: [], rows: [], bars: [], remarks: [`Skipped: ${why}`], data: [] };
}
