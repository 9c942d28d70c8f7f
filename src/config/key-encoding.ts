import { createHash } from 'node:crypto';

/** Longest segment of a key, in UTF-8 bytes: below the 255 of file systems, with room for a temporary suffix. */
export const maxSegmentBytes = 200;

// `~` marks a shortened segment, so an ordinary name may not bring one along. Lone surrogates and
// non-characters have no valid UTF-8 or XML form, so a listing could not show them.
const unsafe = /[%/\\~\p{Cc}\p{Cs}\p{Noncharacter_Code_Point}]/gu;

/**
 * A name as part of one key segment. Injective: two names never give the same text, and the text never holds
 * `/`, `\`, a control character, and is never `.` or `..`. Everything else (unicode, spaces, `+`, `,`) stays.
 */
export function encodeName(name: string): string {
  const encoded = name.replaceAll(unsafe, percentEncode);
  return /^\.+$/.test(encoded) ? `%2E${encoded.slice(1)}` : encoded;
}

function percentEncode(character: string): string {
  // A lone surrogate is written as its UTF-16 unit, which no UTF-8 sequence made here begins like.
  if (/\p{Cs}/u.test(character)) return `%${character.charCodeAt(0).toString(16).toUpperCase()}`;
  return [...Buffer.from(character)].map((b) => `%${b.toString(16).toUpperCase().padStart(2, '0')}`).join('');
}

/**
 * The segment itself when it fits, else its beginning, `~`, 16 hex digits of the SHA-256 of the whole segment,
 * and its extension (at most two, as in `.zip.smime`).
 */
export function fitSegment(segment: string): string {
  if (Buffer.byteLength(segment) <= maxSegmentBytes) return segment;
  const extension = /(?:\.[A-Za-z0-9]{1,12}){1,2}$/.exec(segment)?.[0] ?? '';
  const end = `~${createHash('sha256').update(segment).digest('hex').slice(0, 16)}${extension}`;
  let room = maxSegmentBytes - end.length;
  let beginning = '';
  // Whole characters and whole escapes only.
  for (const [piece] of segment.matchAll(/%D[89A-F][0-9A-F]{2}|%[0-9A-F]{2}|./gsu)) {
    room -= Buffer.byteLength(piece);
    if (room < 0) break;
    beginning += piece;
  }
  return beginning + end;
}
