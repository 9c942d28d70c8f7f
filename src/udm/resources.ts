import { z } from 'zod';
import type { Api } from './api.ts';
import { parseJson } from './json.ts';
import { isMissing } from './refusal.ts';
import { unwrap, versionSchema } from './shapes.ts';
import type { UdmClient } from './types.ts';

/** /v10/resources/labels and /v10/version. */
export function resourceOperations(api: Api): Pick<UdmClient, 'getLabels' | 'getVersion'> {
  return {
    getLabels(signal) {
      return api.get({ method: 'GET', route: '/v10/resources/labels', signal }, z.unknown());
    },
    async getVersion(signal) {
      const answer = await api.send({
        method: 'GET',
        route: '/v10/version',
        anonymous: true,
        isAnswer: isMissing,
        signal,
      });
      if (answer.status >= 300) return undefined;
      return versionSchema.parse(unwrap(asBody(answer.body)).data);
    },
  };
}

/** A version may come as plain text. */
function asBody(bytes: Uint8Array): unknown {
  try {
    return parseJson(bytes);
  } catch {
    const text = new TextDecoder().decode(bytes).trim();
    return text.length <= 100 && !text.startsWith('<') ? text : undefined;
  }
}
