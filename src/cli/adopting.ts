import { adoptEntries } from '../jobs/adopt.ts';
import type { AdoptingDefinition } from '../jobs/adopt.ts';
import type { OpenPipeline } from '../jobs/pipeline.ts';
import { findAdoption } from '../store/adoptions.ts';
import type { Run } from '../store/runs.ts';

/** Looks for entries once for each definition, and again only for those that wait for their turn: for `udm-sync run`. */
export class AdoptingOnce {
  readonly #pipeline: OpenPipeline;
  readonly #signal: AbortSignal;
  readonly #told = new Set<string>();
  #due: AdoptingDefinition[];
  #failed = false;

  constructor(pipeline: OpenPipeline, definitions: AdoptingDefinition[], signal: AbortSignal) {
    this.#pipeline = pipeline;
    this.#signal = signal;
    this.#due = definitions;
  }

  /** Whether a look failed; the log has said why. */
  get failed(): boolean {
    return this.#failed;
  }

  /** Whether entries wait for those under way. */
  get unfinished(): boolean {
    return this.#due.length > 0;
  }

  /** The runs of entries that are adopted now. */
  async look(underWay: readonly Run[]): Promise<Run[]> {
    const made: Run[] = [];
    const still: AdoptingDefinition[] = [];
    for (const definition of this.#due) {
      if (underWay.some((run) => run.definition === definition.name)) {
        still.push(definition);
        continue;
      }
      const options = { now: true, signal: this.#signal, told: this.#told };
      const runs = await adoptEntries(this.#pipeline, definition, options);
      if (runs === undefined) this.#failed = true;
      made.push(...(runs ?? []));
      const { waiting = 0 } = (await findAdoption(this.#pipeline.db, definition.name)) ?? {};
      if (runs !== undefined && waiting > 0) still.push(definition);
    }
    this.#due = still;
    return made;
  }
}
