import type { Api } from './api.ts';
import { certificateSchema } from './shapes.ts';
import type { UdmClient } from './types.ts';

/** /v10/cipher: the certificate exports are encrypted for. */
export function cipherOperations(api: Api): Pick<UdmClient, 'getCipher' | 'uploadCipher'> {
  return {
    async getCipher(signal) {
      const certificate = await api.find({ method: 'GET', route: '/v10/cipher', signal }, certificateSchema);
      // An object without anything in it is how some answers say "none".
      return certificate === undefined || Object.keys(certificate).length === 0 ? undefined : certificate;
    },

    async uploadCipher(fileName, content, signal) {
      const form = new FormData();
      form.append('file', new Blob([new Uint8Array(content)]), fileName);
      // Encoded once to bytes: the length is known, and the call can be repeated.
      const encoded = new Response(form);
      await api.done({
        method: 'POST',
        route: '/v10/cipher/{certificatefilename}',
        params: { certificatefilename: fileName },
        body: new Uint8Array(await encoded.arrayBuffer()),
        contentType: encoded.headers.get('content-type') ?? 'multipart/form-data',
        signal,
      });
    },
  };
}
