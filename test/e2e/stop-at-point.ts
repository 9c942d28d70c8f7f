/**
 * Loaded into a process of the program before it (`node --import`): stops the whole process, with all its threads,
 * at the crash point that UDM_SYNC_TEST_STOP_AT names, when it comes there for the first time. Whoever started it
 * kills it there, or lets it run on.
 */
import { subscribe } from 'node:diagnostics_channel';
import { writeSync } from 'node:fs';

const wanted = process.env['UDM_SYNC_TEST_STOP_AT'];
let stopped = false;
subscribe('udm-sync:crash-point', (point) => {
  if (stopped || point !== wanted) return;
  stopped = true;
  writeSync(2, `stopped at ${wanted}\n`);
  // The kernel delivers it to the thread that asks, before the call returns.
  process.kill(process.pid, 'SIGSTOP');
});
