import { endpointOf } from './api.ts';
import type { Api, ApiCall } from './api.ts';
import { deleteAll, isDeleteAnswer } from './delete-list.ts';
import { listAll } from './list.ts';
import { isMissing } from './refusal.ts';
import { historySchema, progressSchema } from './shapes.ts';
import type { UdmClient } from './types.ts';

type HistoryOperations = Pick<
  UdmClient,
  'listHistory' | 'getHistory' | 'getHistoryProgress' | 'deleteHistory' | 'deleteHistoryList'
>;

const collection = '/v10/export/history';
const entry = '/v10/export/history/{id}';

/** /v10/export/history: the runs of export jobs. */
export function historyOperations(api: Api, pageSize: number): HistoryOperations {
  return {
    listHistory(filter = {}, signal) {
      const { jobId, title, status, fileName, source, type } = filter;
      const query = { jobId, title, status, fileName, source, type };
      return listAll(api, {
        route: collection,
        query,
        item: historySchema,
        keyOf: ({ id }) => id,
        pageSize,
        signal,
      });
    },
    getHistory(id, signal) {
      return api.find({ method: 'GET', route: entry, params: { id }, signal }, historySchema);
    },
    getHistoryProgress(id, signal) {
      return api.find({ method: 'GET', route: `${entry}/progress`, params: { id }, signal }, progressSchema);
    },
    async deleteHistory(id, signal) {
      await api.done({ method: 'DELETE', route: entry, params: { id }, isAnswer: isMissing, signal });
    },
    deleteHistoryList(jobIds, signal) {
      const call = { method: 'DELETE', route: collection, isAnswer: isDeleteAnswer, signal } as const;
      const sendList = (jobIDs: readonly string[]) =>
        api.send({ ...call, query: { jobIDs } } satisfies ApiCall);
      // No `sendOne`: the single delete goes by history id, not by job id.
      return deleteAll(jobIds, { endpoint: endpointOf(call), sendList });
    },
  };
}
