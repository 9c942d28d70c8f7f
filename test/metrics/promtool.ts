import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export const root = join(import.meta.dirname, '../..');
export const rulesFile = join(root, 'deploy/prometheus/alerts.yaml');

/** Prometheus' own tool, of Debian's package `prometheus`; what it says, and whether it is content. */
export function promtool(args: readonly string[], input?: string): { ok: boolean; said: string } {
  const { status, stdout, stderr } = spawnSync('promtool', args, { encoding: 'utf8', input });
  return { ok: status === 0, said: stdout + stderr };
}

export const promtoolInstalled = spawnSync('promtool', ['--version']).status === 0;
if (!promtoolInstalled)
  console.log(
    "promtool is not installed (Debian's package prometheus): rules and formats are not checked by it",
  );

export const read = (path: string) => readFileSync(join(root, path), 'utf8');

/** Names of our metrics that a text speaks of. */
export function metricNames(text: string): Set<string> {
  return new Set(text.match(/\budm_sync_[a-z0-9_]+/g) ?? []);
}
