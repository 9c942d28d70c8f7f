import { open, rename, rm, stat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { UdmSyncError, UsageError, describeError } from '../errors.ts';

/** Where a report goes. */
export interface ReportOutput {
  /** Writes all of it; the file is there once this resolves, and not before. */
  write(text: AsyncIterable<string>): Promise<void>;
  /** Removes what a failure has left. */
  discard(): Promise<void>;
}

/** The process's stdout. */
export const stdoutOutput: ReportOutput = {
  write: (text) => pipeline(Readable.from(text), process.stdout, { end: false }),
  discard: () => Promise.resolve(),
};

/**
 * A file that comes into being whole: written beside its place under another name, and renamed at the end.
 *
 * @throws UsageError when it cannot be made there, before anything else was done
 */
export async function fileOutput(flag: string, path: string): Promise<ReportOutput> {
  if (path === '') throw new UsageError(`${flag} is ""; it must be the name of a file, or - for stdout.`);
  const temporary = `${path}.${process.pid}.tmp`;
  const known = await stat(path).catch(() => undefined);
  if (known?.isDirectory())
    throw new UsageError(`${flag} is "${path}", which is a directory; name a file in it.`);
  const handle = await open(temporary, 'wx').catch((error: unknown) => {
    throw new UsageError(`${flag} is "${path}", which cannot be written: ${describeError(error)}.`);
  });
  return {
    async write(text) {
      try {
        await pipeline(text, handle.createWriteStream({ flush: true, autoClose: true }));
        await rename(temporary, path);
      } catch (error) {
        throw isOfFiles(error)
          ? new UdmSyncError('ERR_REPORT_OUTPUT', `${path} could not be written: ${describeError(error)}.`, {
              hint: 'Make room there or name another place with --output; nothing was left behind.',
              cause: error,
            })
          : error;
      }
    },
    async discard() {
      await handle.close().catch(() => undefined);
      await rm(temporary, { force: true });
    },
  };
}

/** Whether it was the file that failed, not what was to be written. */
function isOfFiles(error: unknown): boolean {
  return (
    error instanceof Error &&
    'syscall' in error &&
    'errno' in error &&
    /^(ENOSPC|EDQUOT|EIO|EFBIG|EROFS|EACCES|EPERM|EISDIR|ENOENT)$/.test(codeOf(error))
  );
}

function codeOf(error: Error): string {
  return 'code' in error ? String(error.code) : '';
}
