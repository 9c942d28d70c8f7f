/** The CRC-32 polynomial, bits reversed, as zlib has it. */
const polynomial = 0xedb88320;
const one = 0x80000000;

/** Product of two polynomials modulo the CRC polynomial. The first is not 0. */
function multiply(a: number, b: number): number {
  let product = 0;
  for (let bit = one; bit !== 0; bit >>>= 1) {
    if ((a & bit) !== 0) {
      product ^= b;
      if ((a & (bit - 1)) === 0) break;
    }
    b = (b & 1) !== 0 ? (b >>> 1) ^ polynomial : b >>> 1;
  }
  return product >>> 0;
}

/** x^(2^n) modulo the polynomial, for n from 0 to 31; then they repeat. */
const powers: readonly number[] = (() => {
  const table = [0x40000000];
  for (let n = 1; n < 32; n += 1) {
    const last = table[n - 1] ?? 0;
    table.push(multiply(last, last));
  }
  return table;
})();

/** x^(8 × bytes): what appending so many bytes does to the CRC of what comes before. */
function shift(bytes: number): number {
  let result = one;
  // Eight bits a byte: begin at 2^3. By division, since lengths go beyond 32 bits.
  for (let n = 3, rest = bytes; rest > 0; rest = Math.floor(rest / 2), n += 1)
    if (rest % 2 === 1) result = multiply(powers[n % 32] ?? 0, result);
  return result;
}

/**
 * The CRC-32 of two stretches of bytes put together, from the CRC-32 of each (zlib's crc32_combine).
 *
 * @param secondLength length of the second stretch in bytes
 * @returns unsigned
 */
export function combineCrc32(first: number, second: number, secondLength: number): number {
  return (multiply(shift(secondLength), first) ^ second) >>> 0;
}
