import { createHash, randomUUID } from 'node:crypto';
import { constants, createReadStream } from 'node:fs';
import { mkdir, open, readdir, realpath, rename, rm, stat, unlink } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { dirname, join, resolve, sep } from 'node:path';
import { Readable } from 'node:stream';
import { pathToFileURL } from 'node:url';
import { crc32 } from 'node:zlib';

import { reached } from '../crash-points.ts';
import { guardBody } from './body.ts';
import { SinkError } from './errors.ts';
import { errnoOf, filesystemError } from './filesystem-errors.ts';
import { checkKey, keyError } from './key.ts';
import type { ObjectInfo, PutOptions, Sink, SweepOptions, SweepResult } from './sink.ts';

export interface FilesystemSinkOptions {
  /** Made if it does not exist. All of it must lie on one file system. */
  readonly directory: string;
}

const temporary = '.udm-sync-tmp';
const longestSegment = 255;

/** What the temporary files of a folder's keys begin with, so that a sweep of one folder leaves the others alone. */
export function temporaryStem(folder: string): string {
  return createHash('sha256').update(folder).digest('hex').slice(0, 32);
}

function checkFileKey(key: string): readonly string[] {
  checkKey(key);
  const segments = key.split('/');
  if (segments[0] === temporary) throw keyError(key, `begins with "${temporary}", which is the sink's own`);
  for (const segment of segments) {
    if (Buffer.byteLength(segment) > longestSegment)
      throw keyError(key, `holds a segment over ${longestSegment} bytes, which no file system takes`);
  }
  return segments;
}

/** Makes the entries of a folder durable: what was created in it or renamed into it survives a power cut. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** The same for a folder and all above it up to `top`, since a folder is an entry of the one above. */
async function syncFolders(folder: string, top: string): Promise<void> {
  for (let current = folder; ; current = dirname(current)) {
    await syncFolder(current);
    if (current === top || current === dirname(current)) return;
  }
}

/** Makes a folder, unless one is there already. */
async function makeFolder(folder: string, key: string): Promise<void> {
  try {
    await mkdir(folder);
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error;
    if (!(await stat(folder)).isDirectory()) throw keyError(key, 'needs a folder where a file lies');
  }
}

async function writeAll(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let offset = 0; offset < bytes.byteLength;) {
    const { bytesWritten } = await handle.write(bytes, offset);
    offset += bytesWritten;
  }
}

/** Files of one directory tree, which no key leads out of. */
class Tree {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** The real path of the directory, made if needed. */
  async root(): Promise<string> {
    const made = await mkdir(this.#directory, { recursive: true }).catch((error: unknown) => {
      const errno = errnoOf(error);
      if (errno !== 'EEXIST' && errno !== 'ENOTDIR') throw error;
      throw new SinkError('ERR_SINK_ACCESS', `${this.#directory} is no directory.`, {
        cause: error,
        hint: "A file lies there, or where a folder above it should be: correct the sink's directory.",
      });
    });
    if (made !== undefined) await syncFolders(this.#directory, dirname(made));
    return realpath(this.#directory);
  }

  /**
   * The real path of a folder in the tree. Folders are made one by one, so that a symbolic link is noticed before
   * anything is made behind it.
   */
  async folder(root: string, names: readonly string[], key: string): Promise<string> {
    let folder = root;
    for (const name of names) {
      await makeFolder(join(folder, name), key);
      folder = await realpath(join(folder, name));
      this.#assertInside(root, folder, key);
    }
    return folder;
  }

  /** The real path of the file under a key, or undefined if there is none. */
  async find(key: string, segments: readonly string[]): Promise<string | undefined> {
    try {
      const root = await realpath(this.#directory);
      const path = await realpath(join(root, ...segments));
      this.#assertInside(root, path, key);
      return path;
    } catch (error) {
      const errno = errnoOf(error);
      if (errno === 'ENOENT' || errno === 'ENOTDIR') return undefined;
      throw error;
    }
  }

  #assertInside(root: string, path: string, key: string): void {
    if (!path.startsWith(root === sep ? sep : root + sep))
      throw keyError(key, "leads out of the sink's directory through a symbolic link");
  }
}

/** Writes the body to a new file and makes it durable; the file is gone again if anything fails. */
async function writeTemporary(
  path: string,
  body: AsyncIterable<Uint8Array>,
  onProgress: PutOptions['onProgress'],
) {
  const handle = await open(path, 'wx');
  let bytes = 0;
  let checksum = 0;
  try {
    for await (const chunk of body) {
      await writeAll(handle, chunk);
      checksum = crc32(chunk, checksum);
      bytes += chunk.byteLength;
      onProgress?.(bytes);
    }
    await handle.sync();
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  } finally {
    await handle.close();
  }
  return { bytes, crc32: checksum };
}

/** The bytes of a file, opened with the first pull and closed with the last. */
async function* readFile(
  path: string,
  mapError: (error: unknown) => unknown,
  signal: AbortSignal | undefined,
) {
  try {
    yield* createReadStream(path, { highWaterMark: 1024 * 1024, ...(signal ? { signal } : {}) });
  } catch (error) {
    signal?.throwIfAborted();
    throw mapError(error);
  }
}

async function sweepTemporary(
  folder: string,
  stem: string,
  before: Date,
  { needed, dryRun = false, signal }: SweepOptions,
): Promise<SweepResult> {
  let aborted = 0;
  let bytes = 0;
  const names = (await readdir(folder)).filter((name) => name.startsWith(stem));
  if (names.length === 0) return { aborted, bytes };
  // A temporary file tells the folder it is for, not the key: all of a folder that is being written to stay.
  const kept = ((await needed?.())?.keys ?? []).map((key) =>
    temporaryStem(key.split('/').slice(0, -1).join('/')),
  );
  for (const name of names) {
    signal?.throwIfAborted();
    if (kept.some((written) => name.startsWith(written))) continue;
    const path = join(folder, name);
    try {
      const { mtime, size } = await stat(path);
      if (mtime >= before) continue;
      if (!dryRun) await unlink(path);
      aborted += 1;
      bytes += size;
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error; // Its writer, or another sweep, was faster.
    }
  }
  return { aborted, bytes };
}

/**
 * A sink in a directory: each key is a file, written beside the others under a temporary name and renamed.
 *
 * It keeps neither checksums nor metadata, so `stat` returns no `crc32` and an empty `metadata`.
 * `sweep` takes one folder, without those below it, or everything, and goes by the time of the last write.
 */
export function createFilesystemSink(name: string, options: FilesystemSinkOptions): Sink {
  const directory = resolve(options.directory);
  const tree = new Tree(directory);
  const guarded = async <T>(key: string, work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      throw filesystemError(error, key, directory);
    }
  };

  return {
    name,
    uri: pathToFileURL(directory).href,

    async put(key, body, putOptions = {}) {
      const segments = checkFileKey(key);
      const signal = putOptions.signal ?? new AbortController().signal;
      // A system error of the source (ECONNRESET, say) is the source's, not the disk's.
      let sourceError: unknown;
      const source = (async function* () {
        try {
          const pieces = body instanceof Uint8Array ? Readable.from([body]) : body;
          yield* guardBody(pieces, putOptions.length, signal);
        } catch (error) {
          sourceError = error;
          throw error;
        }
      })();
      try {
        signal.throwIfAborted();
        const root = await tree.root();
        const folder = await tree.folder(root, segments.slice(0, -1), key);
        const stem = temporaryStem(segments.slice(0, -1).join('/'));
        const path = join(await tree.folder(root, [temporary], key), `${stem}-${randomUUID()}`);
        reached('before:write-file');
        const written = await writeTemporary(path, source, putOptions.onProgress);
        reached('after:write-file');
        reached('before:rename-file');
        try {
          signal.throwIfAborted();
          await rename(path, join(folder, segments.at(-1) ?? ''));
        } catch (error) {
          await rm(path, { force: true });
          throw error;
        }
        reached('after:rename-file');
        await syncFolders(folder, root);
        return { ...written, parts: 1 };
      } catch (error) {
        throw error === sourceError ? error : filesystemError(error, key, directory);
      }
    },

    async stat(key, signal): Promise<ObjectInfo | undefined> {
      const segments = checkFileKey(key);
      signal?.throwIfAborted();
      return guarded(key, async () => {
        const path = await tree.find(key, segments);
        const info = path === undefined ? undefined : await stat(path);
        if (info?.isFile() !== true) return undefined;
        return { key, size: info.size, lastModified: info.mtime, metadata: {} };
      });
    },

    async read(key, signal) {
      const segments = checkFileKey(key);
      signal?.throwIfAborted();
      return guarded(key, async () => {
        const path = await tree.find(key, segments);
        if (path === undefined || !(await stat(path)).isFile())
          throw new SinkError(
            'ERR_NOT_FOUND',
            `Nothing lies under ${pathToFileURL(join(directory, key)).href}.`,
            {
              hint: 'It was removed, or never written.',
            },
          );
        return readFile(path, (error) => filesystemError(error, key, directory), signal);
      });
    },

    async remove(key) {
      const segments = checkFileKey(key);
      await guarded(key, async () => {
        const path = await tree.find(key, segments);
        if (path === undefined) return;
        await unlink(path);
        await syncFolder(dirname(path));
      });
    },

    async sweep(prefix, before, sweepOptions = {}) {
      return guarded('', async () => {
        try {
          const stem = prefix === '' ? '' : temporaryStem(prefix.replace(/\/$/, ''));
          return await sweepTemporary(join(directory, temporary), stem, before, sweepOptions);
        } catch (error) {
          if (errnoOf(error) === 'ENOENT') return { aborted: 0, bytes: 0 };
          throw error;
        }
      });
    },

    close() {
      // Nothing is held open between calls.
    },
  };
}
