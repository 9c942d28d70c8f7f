import { reached } from '../crash-points.ts';
import type { Claim, StepPayload } from '../queue/queue.ts';
import { transact } from '../store/database.ts';
import { findRun } from '../store/runs.ts';
import { inRunSpan } from '../tracing.ts';
import type { Run, RunState } from '../store/runs.ts';
import { cancelExport } from './cancel.ts';
import { cleanUpstream } from './clean.ts';
import { collectFiles } from './collect.ts';
import type { Pipeline } from './context.ts';
import { createExport, planExport } from './create.ts';
import { pollExport } from './poll.ts';
import { sealRun } from './seal.ts';
import { settleFailure } from './settle.ts';

type Step = (pipeline: Pipeline, claim: Claim<StepPayload>, run: Run) => Promise<void>;

/** The step that each state of a run asks for; final states ask for none. */
const steps: Partial<Record<RunState, Step>> = {
  planned: planExport,
  creating: createExport,
  exporting: pollExport,
  cancelling: cancelExport,
  collecting: collectFiles,
  transferring: sealRun,
  stored: cleanUpstream,
};

/** Does the next step of a run, by the state that Postgres gives it now. */
export async function runStep(pipeline: Pipeline, claim: Claim<StepPayload>): Promise<void> {
  const run = await findRun(pipeline.db, claim.payload.runId);
  const step = run && steps[run.state];
  if (!run || !step) {
    await transact(pipeline.db, async (tx) => {
      await pipeline.queue.complete(tx, claim);
      reached('before:drop-step');
    });
    reached('after:drop-step');
    return;
  }
  try {
    await inRunSpan(`step ${run.state}`, run, { 'udm_sync.state': run.state }, () =>
      step(pipeline, claim, run),
    );
  } catch (error) {
    await settleFailure(pipeline, claim, run, error);
  }
}
