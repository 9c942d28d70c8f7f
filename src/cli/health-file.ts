import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Where the worker notes that its loop turns: the only thing it writes to its own file system. */
export const defaultHealthFile = join(tmpdir(), 'udm-sync-health');
