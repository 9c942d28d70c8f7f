import { spawnSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { temporaryStem } from '../../src/sinks/filesystem.ts';
import { createSink } from '../../src/sinks/index.ts';
import type { Sink } from '../../src/sinks/index.ts';
import { bytesOf, MiB, stream } from './bodies.ts';
import { describeSink } from './conformance.ts';

const temporary = '.udm-sync-tmp';

async function listIfAny(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch {
    return [];
  }
}

describeSink('the filesystem', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'udm-sync-files-'));
  return {
    sink: createSink('files', { type: 'filesystem', directory }),
    partSize: MiB,
    outstanding: 0,
    keepsMetadata: false,
    sweeps: true,
    memoryIsOurs: true,
    async leaveUnfinished(key, bytes) {
      await mkdir(join(directory, temporary), { recursive: true });
      const name = `${temporaryStem(dirname(key))}-${basename(key)}`;
      await writeFile(join(directory, temporary, name), Buffer.alloc(bytes));
    },
    countUnfinished: async () => (await listIfAny(join(directory, temporary))).length,
    close: () => rm(directory, { recursive: true }),
  };
});

describe('the filesystem sink', () => {
  let base: string;
  let directory: string;
  let sink: Sink;
  beforeEach(async () => {
    base = await mkdtemp(join(tmpdir(), 'udm-sync-files-'));
    directory = join(base, 'made on', 'demand');
    sink = createSink('files', { type: 'filesystem', directory });
  });
  afterEach(() => rm(base, { recursive: true }));

  const put = (key: string) => sink.put(key, stream(Buffer.from('content')));

  it('names its directory in its URI', () => {
    expect(fileURLToPath(sink.uri)).toBe(directory);
  });

  it('stores each key as a file of that name', async () => {
    await put('2026/11/a b.zip');
    expect(await readFile(join(directory, '2026/11/a b.zip'), 'utf8')).toBe('content');
  });

  it('answers stat, read, remove and sweep before its directory exists', async () => {
    expect(await sink.stat('a')).toBeUndefined();
    await expect(sink.read('a')).rejects.toMatchObject({ code: 'ERR_NOT_FOUND' });
    await sink.remove('a');
    expect(await sink.sweep('', new Date())).toEqual({ aborted: 0, bytes: 0 });
  });

  it.each(['folder', 'parent folder', 'file'])(
    'does not leave its directory through a symbolic link as %s',
    async (as) => {
      const outside = join(base, 'outside');
      await mkdir(outside);
      await writeFile(join(outside, 'file'), 'precious');
      await mkdir(directory, { recursive: true });
      await symlink(as === 'file' ? join(outside, 'file') : outside, join(directory, 'link'));
      const key = { folder: 'link/file', 'parent folder': 'link/new/file', file: 'link' }[as] ?? '';

      if (as === 'file') await put(key);
      else await expect(put(key)).rejects.toMatchObject({ code: 'ERR_KEY' });
      expect(await readdir(outside)).toEqual(['file']);
      expect(await readFile(join(outside, 'file'), 'utf8')).toBe('precious');
    },
  );

  it('neither reads nor removes through a symbolic link that leads out', async () => {
    await mkdir(directory, { recursive: true });
    await writeFile(join(base, 'precious'), 'precious');
    await symlink(join(base, 'precious'), join(directory, 'link'));
    await expect(sink.stat('link')).rejects.toMatchObject({ code: 'ERR_KEY' });
    await expect(sink.read('link')).rejects.toMatchObject({ code: 'ERR_KEY' });
    await expect(sink.remove('link')).rejects.toMatchObject({ code: 'ERR_KEY' });
    expect(await readFile(join(base, 'precious'), 'utf8')).toBe('precious');
  });

  it('keeps its temporary folder inside', async () => {
    await mkdir(directory, { recursive: true });
    await mkdir(join(base, 'elsewhere'));
    await symlink(join(base, 'elsewhere'), join(directory, temporary));
    await expect(put('a')).rejects.toMatchObject({ code: 'ERR_KEY' });
  });

  it('works when its directory itself is a symbolic link', async () => {
    await mkdir(join(base, 'real'));
    await symlink(join(base, 'real'), join(base, 'alias'));
    sink = createSink('files', { type: 'filesystem', directory: join(base, 'alias') });
    await put('a/b');
    expect(await readFile(join(base, 'real', 'a', 'b'), 'utf8')).toBe('content');
  });

  it.each([
    ['a segment over 255 bytes', 'ü'.repeat(128)],
    ['a path too long for the system', Array.from({ length: 50 }, () => 'x'.repeat(100)).join('/')],
    ['its own temporary folder', `${temporary}/x`],
    ['a file as a folder', 'existing/below'],
    ['a file as a folder, deeper', 'existing/below/it'],
    ['a folder as a file', 'folder'],
  ])('refuses a key that names %s', async (_what, key) => {
    await put('existing');
    await put('folder/file');
    await expect(put(key)).rejects.toMatchObject({ code: 'ERR_KEY' });
    expect(await readdir(join(directory, temporary))).toEqual([]);
  });

  it('says that the directory is not writable', async ({ skip }) => {
    skip(process.getuid?.() === 0, 'root may write anywhere');
    await mkdir(directory, { recursive: true });
    await chmod(directory, 0o555);
    await expect(put('a')).rejects.toMatchObject({ code: 'ERR_SINK_ACCESS', retryable: false });
  });

  describe('on a small file system', () => {
    const mount = async (options: string) => {
      await mkdir(directory, { recursive: true });
      return spawnSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', directory]).status === 0;
    };
    afterEach(() => void spawnSync('umount', [directory]));

    it('reports that it is full and leaves nothing on it', async ({ skip }) => {
      skip(!(await mount('size=2m')), 'needs the right to mount');
      await expect(sink.put('a', stream(bytesOf(3 * MiB, 'a')))).rejects.toMatchObject({
        code: 'ERR_SINK_FULL',
        retryable: true,
      });
      expect(await sink.stat('a')).toBeUndefined();
      expect(await readdir(join(directory, temporary))).toEqual([]);
      await put('a'); // There is room again.
    });

    it('reports that it is read-only', async ({ skip }) => {
      skip(!(await mount('ro')), 'needs the right to mount');
      await expect(put('a')).rejects.toMatchObject({ code: 'ERR_SINK_ACCESS', retryable: false });
    });
  });
});
