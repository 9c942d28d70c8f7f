import { humanBytes } from '../format.ts';
import type { Run } from '../store/runs.ts';
import type { FileHit, JobHit } from '../store/search.ts';
import { html } from './html.ts';
import type { Html } from './html.ts';
import { badge, definitionPath, layout, windowText } from './layout.ts';
import type { Frame } from './layout.ts';

/** What a search found. */
export interface Hits {
  readonly run: Run | undefined;
  readonly definitions: readonly string[];
  readonly jobs: readonly JobHit[];
  readonly files: readonly FileHit[];
  /** How far file names were searched: their beginnings; everywhere; or everywhere in vain, since it took too long. */
  readonly depth: 'begins' | 'anywhere' | 'gave-up';
}

/** At most so many files, and so many jobs. */
export const mostHits = 100;

/** What was found of a file, a job or a run. */
export function searchPage(frame: Frame, text: string, hits: Hits | undefined): Html {
  return layout(
    { ...frame, search: text },
    {
      title: 'Search',
      content: html`<section class="card">
        <h1>Search</h1>
        ${hits ? found(text, hits) : html`<p class="quiet">Type a file’s name or its beginning, an upstream job or history id, a definition, or the number of a run.</p>`}
      </section>`,
    },
  );
}

function found(text: string, { run, definitions, jobs, files, depth }: Hits): Html {
  const none = !run && definitions.length + jobs.length + files.length === 0;
  return html`${none && html`<p>Nothing was found for <code>${text}</code>.</p>`}
  ${depth === 'gave-up' && html`<p class="warn">No file’s name begins with it. Looking inside names took too long and was given up; search for the beginning of the name.</p>`}
  ${
    run &&
    html`<h2>Run</h2>
      <p>
        <a href="/runs/${run.id}">Run ${run.id}</a> ${run.definition}
        ${windowText(run.windowFrom, run.windowTo)} ${badge(run.state)}
      </p>`
  }
  ${
    definitions.length > 0 &&
    html`<h2>Definitions</h2>
      <ul class="plainlist">
        ${definitions.map((name) => html`<li><a href="${definitionPath(name)}">${name}</a></li>`)}
      </ul>`
  }
  ${
    jobs.length > 0 &&
    html`<h2>Jobs <small>${jobs.length === mostHits ? `the newest ${jobs.length}` : jobs.length}</small></h2>
      <div class="scroll" tabindex="0" role="region" aria-label="Jobs">
        <table class="stack">
          <thead>
            <tr>
              <th scope="col">Run</th>
              <th scope="col">Window</th>
              <th scope="col">Job</th>
              <th scope="col">History entry</th>
              <th scope="col">Export</th>
              <th scope="col">Run is</th>
            </tr>
          </thead>
          <tbody>
            ${jobs.map(
              (job) =>
                html`<tr>
                  <th scope="row"><a href="/runs/${job.runId}">${job.definition} #${job.runId}</a></th>
                  <td data-name="Window">${windowText(job.from, job.to)}</td>
                  <td data-name="Job"><code>${job.upstreamJobId ?? '–'}</code></td>
                  <td data-name="History entry"><code>${job.upstreamHistoryId ?? '–'}</code></td>
                  <td data-name="Export">${badge(job.state)}</td>
                  <td data-name="Run is">${badge(job.runState)}</td>
                </tr>`,
            )}
          </tbody>
        </table>
      </div>`
  }
  ${
    files.length > 0 &&
    html`<h2>
        Files
        <small
          >${files.length === mostHits ? `the first ${files.length}` : files.length}${depth === 'anywhere' && ' with it somewhere in name or key'}</small
        >
      </h2>
      <div class="scroll" tabindex="0" role="region" aria-label="Files">
        <table class="stack">
          <thead>
            <tr>
              <th scope="col">File</th>
              <th scope="col">State</th>
              <th scope="col" class="n">Size</th>
              <th scope="col">Run</th>
              <th scope="col">Where</th>
            </tr>
          </thead>
          <tbody>
            ${files.map(
              (file) =>
                html`<tr>
                  <th scope="row"><span class="file">${file.name}</span></th>
                  <td data-name="State">${badge(file.state)}</td>
                  <td data-name="Size" class="n">${file.bytes === null ? '?' : humanBytes(file.bytes)}</td>
                  <td data-name="Run">
                    <a href="/runs/${file.runId}">${file.definition} #${file.runId}</a>
                    ${windowText(file.from, file.to)}
                  </td>
                  <td data-name="Where"><code>${file.sink}: ${file.key}</code></td>
                </tr>`,
            )}
          </tbody>
        </table>
      </div>`
  }`;
}
