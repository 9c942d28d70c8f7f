/** A CRC-32 as S3 writes it: four big-endian bytes in base64. */
export function encodeCrc32(value: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes.toString('base64');
}

/**
 * The CRC-32 of a whole object, if that is what the server keeps. A composite checksum (one of the parts'
 * checksums, `…-N`) says nothing that could be compared with the bytes.
 *
 * @param text ChecksumCRC32 of HeadObject
 * @param type ChecksumType of HeadObject
 */
export function fullObjectCrc32(text: string | undefined, type: string | undefined): number | undefined {
  if (text === undefined || type === 'COMPOSITE' || !/^[A-Za-z0-9+/]{6}==$/.test(text)) return undefined;
  return Buffer.from(text, 'base64').readUInt32BE();
}

/** A CRC-32 as people and zip tools write it: eight lower-case hex digits. */
export function crc32Text(value: number): string {
  return value.toString(16).padStart(8, '0');
}
