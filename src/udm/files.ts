import { endpointOf } from './api.ts';
import type { Api } from './api.ts';
import { deleteAll, isDeleteAnswer } from './delete-list.ts';
import type { Downloader } from './download.ts';
import { UdmError } from './errors.ts';
import type { Answer } from './http.ts';
import { tryJson } from './json.ts';
import { listAll } from './list.ts';
import { inBatches } from './lists.ts';
import { matchUrls } from './match-urls.ts';
import { fillRoute } from './path.ts';
import { parsePresigned } from './presigned.ts';
import type { SignedUrl } from './presigned.ts';
import { isMissing } from './refusal.ts';
import { fileSchema, listedUrlsSchema, namesIn } from './shapes.ts';
import type { PresignedUrl, UdmClient } from './types.ts';

type FileOperations = Pick<
  UdmClient,
  'listFileMetadatas' | 'presignFiles' | 'locateFile' | 'download' | 'deleteFile' | 'deleteFiles'
>;

const collection = '/v10/files';
const file = '/v10/files/{filename}';

/**
 * /v10/file-metadatas and /v10/files: what was exported, and how to get it and be rid of it.
 *
 * @param root base URL and UDM path, which a relative Location would be relative to
 */
export function fileOperations(
  api: Api,
  downloader: Downloader,
  root: string,
  pageSize: number,
): FileOperations {
  async function locate(name: string, signal: AbortSignal | undefined): Promise<SignedUrl | undefined> {
    const call = {
      method: 'GET',
      route: file,
      params: { filename: name },
      isAnswer: (answer: Answer) => isRedirect(answer) || isMissing(answer),
      confidential: true,
      signal,
    } as const;
    const answer = await api.send(call);
    if (isMissing(answer)) return undefined;
    const endpoint = endpointOf(call);
    const base = new URL(root + fillRoute(endpoint, file, call.params));
    const location = isRedirect(answer) ? answer.headers.location : undefined;
    const url = location === undefined ? undefined : parsePresigned(location, base);
    if (url !== undefined) return url;
    throw new UdmError('ERR_UDM_ANSWER', endpoint, `answered ${answer.status} without a usable Location.`, {
      status: answer.status,
      hint: 'A 303 with the pre-signed URL was expected; a proxy in between may follow redirects by itself.',
    });
  }

  /** One list of names; those the answer says nothing about are in neither of the results. */
  async function presignList(names: readonly string[], signal: AbortSignal | undefined) {
    const call = {
      method: 'GET',
      route: collection,
      query: { filename: names },
      isAnswer: isMissing,
      confidential: true,
      signal,
    } as const;
    const answer = await api.send(call);
    if (isMissing(answer)) {
      const named = namesIn(tryJson(answer.body)) ?? [];
      return { urls: new Map<string, SignedUrl>(), missing: names.filter((name) => named.includes(name)) };
    }
    return { urls: matchUrls(names, api.read(call, answer, listedUrlsSchema)), missing: [] };
  }

  return {
    listFileMetadatas(filter = {}, signal) {
      const { historyId, jobTitle, name, source, type, startDate, endDate } = filter;
      const query = { historyId, jobTitle, name, source, type, startDate, endDate };
      return listAll(api, {
        route: '/v10/file-metadatas',
        query,
        item: fileSchema,
        keyOf: (item) => JSON.stringify([item.historyId, item.name]),
        pageSize,
        signal,
      });
    },

    async presignFiles(names, signal) {
      const urls = new Map<string, PresignedUrl>();
      const missing: string[] = [];
      const { lists, singles } = inBatches(`GET ${collection}`, names);
      const alone = [...singles];
      for (const list of lists) {
        let asked: readonly string[] = list;
        while (asked.length > 0) {
          const found = await presignList(asked, signal);
          for (const [name, url] of found.urls) urls.set(name, url);
          missing.push(...found.missing);
          const open = asked.filter((name) => !found.urls.has(name) && !found.missing.includes(name));
          // A 404 that names some is asked again without those; whoever no answer speaks of is asked for alone.
          if (found.missing.length === 0) alone.push(...open);
          asked = found.missing.length === 0 ? [] : open;
        }
      }
      for (const name of alone) {
        const url = await locate(name, signal);
        if (url === undefined) missing.push(name);
        else urls.set(name, url);
      }
      return { urls, missing };
    },

    locateFile: locate,

    download: (url, options) => downloader.download(url, options),

    async deleteFile(name, signal) {
      await api.done({
        method: 'DELETE',
        route: file,
        params: { filename: name },
        isAnswer: isMissing,
        signal,
      });
    },

    deleteFiles(names, signal) {
      const call = { method: 'DELETE', route: collection, isAnswer: isDeleteAnswer, signal } as const;
      return deleteAll(names, {
        endpoint: endpointOf(call),
        sendList: (filename) => api.send({ ...call, query: { filename } }),
        sendOne: (filename) => api.send({ ...call, route: file, params: { filename } }),
      });
    },
  };
}

function isRedirect(answer: Answer): boolean {
  return [301, 302, 303, 307, 308].includes(answer.status);
}
