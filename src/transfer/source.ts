import { UdmSyncError } from '../errors.ts';
import type { Download, DownloadOptions, PresignedUrl } from '../udm/types.ts';

/**
 * One upstream file behind pre-signed URLs that run out. All ranges of the file share a URL; when it is too old, the
 * first to notice asks for a new one and the others use that.
 */
export class Source {
  readonly #locate: () => Promise<PresignedUrl>;
  readonly #download: (url: PresignedUrl, options: DownloadOptions) => Promise<Download>;
  #url: Promise<PresignedUrl> | undefined;

  /** @param first a URL that is at hand already */
  constructor(
    locate: () => Promise<PresignedUrl>,
    download: (url: PresignedUrl, options: DownloadOptions) => Promise<Download>,
    first?: PresignedUrl,
  ) {
    this.#locate = locate;
    this.#download = download;
    if (first) this.#url = Promise.resolve(first);
  }

  /** Opens the file or a range of it. A URL found too old is replaced once; a new one that is too old is an error. */
  async open(options: DownloadOptions): Promise<Download> {
    for (let renewed = false; ; renewed = true) {
      const current = (this.#url ??= this.#locate());
      try {
        return await this.#download(await current, options);
      } catch (error) {
        // A failed look-up must not be remembered either.
        if (this.#url === current) this.#url = undefined;
        const tooOld = error instanceof UdmSyncError && error.code === 'ERR_PRESIGNED_EXPIRED';
        if (!tooOld || renewed) throw error;
      }
    }
  }
}
