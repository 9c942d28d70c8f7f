import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** A file that pages use, kept in memory. */
export interface Asset {
  /** Where it is served: the name holds a hash of the content, so that a browser may keep it for ever. */
  readonly path: string;
  readonly type: string;
  readonly etag: string;
  readonly body: Buffer;
}

const types: Readonly<Record<string, string>> = {
  'page.css': 'text/css; charset=utf-8',
  'live.js': 'text/javascript; charset=utf-8',
  'icon.svg': 'image/svg+xml',
};

/** Reads the style sheet, the script and the icon. */
export async function readAssets(): Promise<Readonly<Record<string, Asset>>> {
  const entries = Object.entries(types).map(async ([name, type]): Promise<[string, Asset]> => {
    const body = await readFile(join(import.meta.dirname, 'static', name));
    const hash = createHash('sha256').update(body).digest('hex').slice(0, 16);
    const [stem = '', extension = ''] = name.split('.');
    return [name, { path: `/static/${stem}.${hash}.${extension}`, type, etag: `"${hash}"`, body }];
  });
  return Object.fromEntries(await Promise.all(entries));
}
