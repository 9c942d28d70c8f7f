import type { Api } from './api.ts';
import { wordsSchema } from './shapes.ts';
import type { UdmClient } from './types.ts';

type DataOperations = Pick<
  UdmClient,
  'listAttributes' | 'listJobStatuses' | 'listSources' | 'listSubTypes' | 'listTypes'
>;

/** /v10/data: the words this deployment knows. */
export function dataOperations(api: Api): DataOperations {
  return {
    listAttributes(entities, signal) {
      return api.get(
        { method: 'GET', route: '/v10/data/attributes', query: { entities }, signal },
        wordsSchema,
      );
    },
    listJobStatuses(signal) {
      return api.get({ method: 'GET', route: '/v10/data/job-statuses', signal }, wordsSchema);
    },
    listSources(signal) {
      return api.get({ method: 'GET', route: '/v10/data/sources', signal }, wordsSchema);
    },
    listSubTypes(filter = {}, signal) {
      const { dataType, source } = filter;
      return api.get(
        { method: 'GET', route: '/v10/data/sub-types', query: { dataType, source }, signal },
        wordsSchema,
      );
    },
    listTypes(source, signal) {
      return api.get({ method: 'GET', route: '/v10/data/types', query: { source }, signal }, wordsSchema);
    },
  };
}
