import type { BenchOptions } from '../options.ts';
import { skipped } from '../result.ts';
import type { CaseResult } from '../result.ts';

export function smallFiles(_options: BenchOptions): Promise<CaseResult> {
  return Promise.resolve(skipped('small-files', 'Small files', 'not written yet.'));
}
