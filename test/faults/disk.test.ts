import { execFile, execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import type { Ground } from './arena.ts';
import { layGround, startScene } from './scene.ts';

const run = promisify(execFile);

/** Whether this process may mount a file system: only the kernel can make a small one. */
function mayMount(): boolean {
  try {
    execFileSync('unshare', ['--mount', 'mount', '-t', 'tmpfs', 'none', tmpdir()], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

let ground: Ground;
beforeAll(async () => {
  ground = await layGround();
});
afterAll(() => (ground as Ground | undefined)?.s3.stop());

const able = mayMount();
if (!able) console.log('Skipped: a full disk needs a small file system, and this user may not mount one.');

test.runIf(able)(
  'the disk of a filesystem sink is full; when there is room again, all goes on',
  async () => {
    const folder = await mkdtemp(join(tmpdir(), 'udm-sync-small-'));
    await run('mount', ['-t', 'tmpfs', '-o', 'size=2m,mode=0755', 'udm-sync-test', folder]);
    onTestFinished(async () => {
      await run('umount', ['-l', folder]);
      await rm(folder, { recursive: true, force: true });
    });
    const { arena, finish } = await startScene({ ground, sink: 'folder', folder });
    const { reason } = await arena.row<{ reason: string }>(
      `select reason from udm_sync.files where state = 'waiting' and reason like '%ENOSPC%' and holdups > 2`,
    );
    expect(reason).toContain('Free space');
    await run('mount', ['-o', 'remount,size=64m', folder]);
    await finish();
  },
  200_000,
);
