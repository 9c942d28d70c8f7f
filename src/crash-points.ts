import { channel } from 'node:diagnostics_channel';

/**
 * All that the program changes outside of its process, by name. What has happened there when the process ends right
 * before or after one of these, and who puts it right, is in docs/crash-points.md.
 *
 * `commit-…` and `note-…` are transactions in Postgres: "before" is their last moment, with everything written and
 * nothing committed. `commit-` with a state is the step that moves a run there.
 */
export const effects = [
  'plan',
  'commit-planned',
  'commit-creating',
  'commit-exporting',
  'commit-cancelling',
  'commit-collecting',
  'commit-transferring',
  'commit-stored',
  'commit-done',
  'commit-failed',
  'commit-cancelled',
  'commit-wait',
  'commit-failure',
  'give-back',
  'drop-step',
  'rescue',
  'request-cancel',
  'request-retry',
  'note-create',
  'take-back-create',
  'create-job',
  'cancel-job',
  'claim-files',
  'commit-files',
  'note-upload',
  'note-part',
  'forget-upload',
  's3-put',
  's3-begin',
  's3-part',
  's3-complete',
  's3-abort',
  'write-file',
  'rename-file',
  'manifest',
  'delete-files',
  'note-deleted',
  'note-expiry',
  'note-look',
  'note-look-failed',
  'adopt-entries',
  'delete-history',
  'delete-job',
  'claim-message',
  'send-message',
  'commit-message',
] as const;

export type Effect = (typeof effects)[number];
export type CrashPoint = `before:${Effect}` | `after:${Effect}`;

const points = channel('udm-sync:crash-point');

/**
 * Marks the moment right before or after an effect. Does nothing unless somebody in this process listens on the
 * diagnostics channel `udm-sync:crash-point`: no setting does, only what tests load into the process beforehand
 * (test/e2e/stop-at-point.ts). A listener is called before this returns, and may never return.
 */
export function reached(point: CrashPoint): void {
  if (points.hasSubscribers) points.publish(point);
}
