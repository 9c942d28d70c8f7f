/**
 * S3 user metadata travels as HTTP headers: ASCII only, 2 KB in all. Values are percent-encoded where they have
 * to be, and remain readable where they need not.
 */

const headerPrefix = 'x-amz-meta-';
const limit = 2048;

/** `%` itself, whatever is not printable ASCII, and spaces at either end, which HTTP would strip. */
const encoded = /%|[^ -~]+|^ +| +$/gu;

function encodeValue(value: string): string {
  return value.toWellFormed().replace(encoded, encodeURIComponent);
}

function decodeValue(value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    return value; // Not written by us.
  }
}

/**
 * Metadata as S3 takes it. Entries are taken in the order given; one that no longer fits into the 2 KB is left
 * out whole, and those after it are still tried.
 */
export function encodeMetadata(metadata: Readonly<Record<string, string>>): Record<string, string> {
  const result: Record<string, string> = {};
  let left = limit;
  for (const [key, value] of Object.entries(metadata)) {
    const text = encodeValue(value);
    const size = headerPrefix.length + key.length + text.length;
    if (size > left) continue;
    left -= size;
    result[key] = text;
  }
  return result;
}

/** The reverse of `encodeMetadata`; text that is not percent-encoding is returned as it is. */
export function decodeMetadata(metadata: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(metadata).map(([key, value]) => [key, decodeValue(value)]));
}
