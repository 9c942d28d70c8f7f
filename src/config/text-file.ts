import { readFile } from 'node:fs/promises';

/** The text of a small file without the newlines at its end, or why it could not be read, as a phrase. */
export async function readTextFile(path: string): Promise<{ text: string } | { problem: string }> {
  try {
    const text = (await readFile(path, 'utf8')).replace(/[\r\n]+$/, '');
    return text === '' ? { problem: `names ${shownFile(path)}, which is empty` } : { text };
  } catch (error) {
    return { problem: `names ${shownFile(path)}, which ${whyUnreadable(error)}` };
  }
}

/** What does not begin like a path may be the secret itself, put into the wrong setting: it is not shown. */
function shownFile(path: string): string {
  return /^(\.{0,2}\/|[A-Za-z]:\\)/.test(path)
    ? `the file ${path}`
    : 'a file (not shown; begin with / or ./)';
}

/** Why a file could not be read: `does not exist`, … */
export function whyUnreadable(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'an unknown error';
  if (code === 'ENOENT' || code === 'ENOTDIR') return 'does not exist';
  if (code === 'EACCES' || code === 'EPERM') return 'this user may not read';
  if (code === 'EISDIR') return 'is a directory';
  return `could not be read (${code})`;
}
