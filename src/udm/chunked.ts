/** Most trailer lines, none of which means anything to us. */
const mostTrailers = 100;
/** Longest line of a chunk's size or trailer, in bytes. */
const longestLine = 8 * 1024;

export class ChunkError extends Error {}

/** Takes the chunks of a `Transfer-Encoding: chunked` body apart, however the bytes arrive. */
export class ChunkedDecoder {
  #state: 'size' | 'data' | 'data-end' | 'trailer' | 'done' = 'size';
  #left = 0;
  #line = '';
  #trailers = 0;

  get done(): boolean {
    return this.#state === 'done';
  }

  /**
   * Takes some bytes off the front of `input`.
   *
   * @returns how many were taken, and the stretch of content among them (a view of `input`, perhaps empty)
   * @throws {ChunkError} when the bytes are no chunks
   */
  take(input: Buffer): { readonly taken: number; readonly content: Buffer } {
    const nothing = input.subarray(0, 0);
    let at = 0;
    while (at < input.length && this.#state !== 'done') {
      if (this.#state === 'data') {
        const content = input.subarray(at, at + this.#left);
        this.#left -= content.length;
        if (this.#left === 0) this.#state = 'data-end';
        return { taken: at + content.length, content };
      }
      const end = input.indexOf('\n', at);
      const stop = end < 0 ? input.length : end + 1;
      this.#line += input.toString('latin1', at, stop);
      at = stop;
      if (this.#line.length > longestLine) throw new ChunkError('a line among the chunks is too long');
      if (end >= 0) this.#endOfLine();
    }
    return { taken: at, content: nothing };
  }

  #endOfLine(): void {
    const line = this.#line.replace(/\r?\n$/, '');
    this.#line = '';
    if (this.#state === 'size') {
      const size = /^([0-9a-f]{1,12})[\t ]*(;.*)?$/i.exec(line)?.[1];
      if (size === undefined) throw new ChunkError('a chunk has no size');
      this.#left = Number.parseInt(size, 16);
      this.#state = this.#left === 0 ? 'trailer' : 'data';
    } else if (this.#state === 'data-end') {
      if (line !== '') throw new ChunkError('a chunk is longer than its size');
      this.#state = 'size';
    } else if (line === '') this.#state = 'done';
    else if (++this.#trailers > mostTrailers) throw new ChunkError('the trailer does not end');
  }
}
