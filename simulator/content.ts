import { createCipheriv, createHash } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { crc32 } from 'node:zlib';

/** What decides every byte of a file. A new generation of a name is a different content. */
export interface ContentKey {
  readonly seed: string;
  readonly tenant: string;
  readonly name: string;
  readonly generation: number;
  /** Bytes. */
  readonly size: number;
}

/** Hex digests of a whole file. */
export interface FileDigest {
  /** Bytes. */
  readonly size: number;
  readonly md5: string;
  /** Eight hex digits. */
  readonly crc32: string;
  readonly sha256: string;
}

const BLOCK = 1024 * 1024;
/** Above this the ETag looks like that of a multipart upload, and no MD5 is computed. */
const PLAIN_ETAG_LIMIT = 16 * 1024 * 1024;

const noise = new Map<string, Buffer>();

/** 1 MiB of random bytes for the seed, twice in a row, so that every rotation of it is one slice. */
function noiseOf(seed: string): Buffer {
  const known = noise.get(seed);
  if (known) return known;
  const key = createHash('sha256').update(seed).digest();
  const block = createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(BLOCK));
  const twice = Buffer.concat([block, block]);
  noise.set(seed, twice);
  return twice;
}

function identity(key: ContentKey): Buffer {
  return createHash('sha256')
    .update(JSON.stringify([key.seed, key.tenant, key.name, key.generation]))
    .digest();
}

function headerOf(id: Buffer): Buffer {
  return Buffer.from(
    'MIME-Version: 1.0\n' +
      'Content-Disposition: attachment; filename="smime.p7m"\n' +
      'Content-Type: application/x-pkcs7-mime; smime-type=enveloped-data; name="smime.p7m"\n' +
      'Content-Transfer-Encoding: binary\n' +
      `X-Simulated-Content: ${id.toString('hex', 0, 16)}\n\n`,
  );
}

/**
 * The bytes [start, end) of a file as slices of shared memory: nothing is computed, copied or kept.
 *
 * Block i is the noise rotated by an odd stride, so no two of the first 2^20 blocks (1 TiB) are alike.
 * Do not write into the slices.
 */
export function* contentChunks(key: ContentKey, start = 0, end = key.size): Generator<Buffer> {
  const id = identity(key);
  const header = headerOf(id);
  const twice = noiseOf(key.seed);
  const first = id.readUInt32BE(16) % BLOCK;
  const stride = (id.readUInt32BE(20) % BLOCK) | 1;
  const last = Math.min(end, key.size);
  let at = start;
  if (at < header.length && at < last) {
    const slice = header.subarray(at, Math.min(last, header.length));
    at += slice.length;
    yield slice;
  }
  while (at < last) {
    const block = Math.floor(at / BLOCK);
    const within = at % BLOCK;
    const length = Math.min(BLOCK - within, last - at);
    const rotation = (first + (((block % BLOCK) * stride) % BLOCK)) % BLOCK;
    yield twice.subarray(rotation + within, rotation + within + length);
    at += length;
  }
}

/** Digests a file of any size in constant memory, letting other work run in between. */
export async function digestContent(key: ContentKey): Promise<FileDigest> {
  const md5 = createHash('md5');
  const sha256 = createHash('sha256');
  let crc = 0;
  let size = 0;
  for (const chunk of contentChunks(key)) {
    md5.update(chunk);
    sha256.update(chunk);
    crc = crc32(chunk, crc);
    size += chunk.length;
    await nextTurn();
  }
  return {
    size,
    md5: md5.digest('hex'),
    crc32: crc.toString(16).padStart(8, '0'),
    sha256: sha256.digest('hex'),
  };
}

/** A strong ETag with its quotes: the MD5 of a small file, the `"hash-N"` of a multipart upload for a large one. */
export function etagOf(key: ContentKey): string {
  if (key.size > PLAIN_ETAG_LIMIT) {
    const parts = Math.ceil(key.size / PLAIN_ETAG_LIMIT);
    const hash = createHash('md5').update(identity(key)).update(String(key.size)).digest('hex');
    return `"${hash}-${parts}"`;
  }
  const md5 = createHash('md5');
  for (const chunk of contentChunks(key)) md5.update(chunk);
  return `"${md5.digest('hex')}"`;
}
