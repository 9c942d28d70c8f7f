import { SinkError } from './errors.ts';
import { keyError } from './key.ts';

/** The `code` of a Node system error, if it is one. */
export function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** Turns a system error met while handling `key` into an error of ours; any other error is returned as it is. */
export function filesystemError(error: unknown, key: string, directory: string): unknown {
  const errno = errnoOf(error);
  if (errno === undefined || error instanceof SinkError) return error;
  const message = `Storing under ${directory} failed: ${errno}.`;
  switch (errno) {
    case 'ENOSPC':
    case 'EDQUOT':
      return new SinkError('ERR_SINK_FULL', message, {
        cause: error,
        retryable: true,
        hint: 'Free space on the file system or raise its quota.',
      });
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new SinkError('ERR_SINK_ACCESS', message, {
        cause: error,
        hint: 'Make the directory writable for the user that runs this program.',
      });
    case 'ENAMETOOLONG':
      return keyError(key, 'makes a path that is too long for the file system', error);
    case 'EILSEQ':
    case 'EINVAL':
      return keyError(key, 'makes a name that the file system does not take', error);
    case 'ENOTDIR':
    case 'EISDIR':
    case 'ENOTEMPTY':
      return keyError(key, 'names a folder where a file lies, or a file where a folder lies', error);
    case 'EXDEV':
      return new SinkError('ERR_SINK_REFUSED', message, {
        cause: error,
        hint: 'All of the directory must lie on one file system: mount nothing inside it.',
      });
    default:
      return new SinkError('ERR_SINK_UNAVAILABLE', message, {
        cause: error,
        retryable: true,
        hint: "It is tried again; if that goes on, check the disk and the sink's directory.",
      });
  }
}
