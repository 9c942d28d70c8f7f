import { Client } from 'pg';
import type { QueryResultRow } from 'pg';

export interface NewRun {
  readonly definition?: string;
  readonly from: Date;
  /** Hours. */
  readonly length?: number;
  readonly state: string;
  readonly reason?: string;
  readonly finishedAt?: Date;
}

export interface NewFile {
  readonly run: number;
  readonly export: number;
  readonly name: string;
  readonly state: string;
  readonly size?: number;
  readonly verifiedAt?: Date;
  readonly expiresAt?: Date;
  readonly startedAt?: Date;
  readonly reason?: string;
}

const hourMs = 3_600_000;

/** Writes rows straight into the tables, to make any past in no time. */
export class Rows {
  readonly #client: Client;
  readonly #connected: Promise<unknown>;

  constructor(url: string) {
    this.#client = new Client({ connectionString: url });
    this.#connected = this.#client.connect();
  }

  async sql<Row extends QueryResultRow>(text: string, values: unknown[] = []): Promise<Row[]> {
    await this.#connected;
    return (await this.#client.query<Row>(text, values)).rows;
  }

  async run({ definition = 'contacts-hourly', from, length = 1, state, reason, finishedAt }: NewRun) {
    const over = ['done', 'failed', 'cancelled'].includes(state);
    return this.#id(
      `insert into udm_sync.runs (definition, tenant, sink, window_from, window_to, origin, state, attempt, reason, finished_at, updated_at)
       values ($1, 'acme', 'lake', $2, $3, 'schedule', $4, 1, $5, $6, coalesce($6, now())) returning id`,
      [
        definition,
        from,
        new Date(from.getTime() + length * hourMs),
        state,
        reason ?? null,
        over ? (finishedAt ?? new Date()) : null,
      ],
    );
  }

  async export(
    run: number,
    state: string,
    more: { progress?: number; status?: string; job?: string; createdAt?: Date } = {},
  ) {
    return this.#id(
      `insert into udm_sync.exports (run_id, tenant, attempt, marker, state, request, upstream_job_id, upstream_history_id, status_word, progress, created_at, last_polled_at)
       values ($1, 'acme', 1, 'marker-' || $1::bigint, $2, '{}', $3, $4, $5, $6, coalesce($7, now()), now()) returning id`,
      [
        run,
        state,
        more.job ?? `job-${run}`,
        state === 'completed' ? `history-${run}` : null,
        more.status ?? null,
        more.progress ?? null,
        more.createdAt ?? null,
      ],
    );
  }

  async file({
    run,
    export: exportId,
    name,
    state,
    size = 1000,
    verifiedAt,
    expiresAt,
    startedAt,
    reason,
  }: NewFile) {
    const proven = state === 'verified' || state === 'deleted';
    return this.#id(
      `insert into udm_sync.files (run_id, export_id, tenant, name, key, state, announced_size, size, crc32, proof, verified_at, deleted_at, expires_at, transfer_started_at, claim, attempts, reason)
       values ($1, $2, 'acme', $3, 'acme/' || $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 1, $14) returning id`,
      [
        run,
        exportId,
        name,
        state,
        size,
        proven ? size : null,
        proven ? '89abcdef' : null,
        proven ? 'size' : null,
        proven ? (verifiedAt ?? new Date()) : null,
        state === 'deleted' ? new Date() : null,
        expiresAt ?? new Date(Date.now() + 20 * 24 * hourMs),
        state === 'transferring' ? (startedAt ?? new Date()) : null,
        state === 'transferring' ? `claim-${name}` : null,
        reason ?? null,
      ],
    );
  }

  async history(line: {
    run: number;
    file?: number;
    subject: string;
    from?: string;
    to: string;
    who?: string;
    at?: Date;
    reason?: string;
  }) {
    return this.#id(
      `insert into udm_sync.history (run_id, file_id, subject, from_state, to_state, who, reason, at)
       values ($1, $2, $3, $4, $5, $6, $7, coalesce($8, now())) returning id`,
      [
        line.run,
        line.file ?? null,
        line.subject,
        line.from ?? null,
        line.to,
        line.who ?? 'host/1/abc',
        line.reason ?? null,
        line.at ?? null,
      ],
    );
  }

  /** An upload in parts, of which `parts` of `partSize` bytes are stored. */
  async upload(
    file: number,
    { length, partSize, parts, begunAt }: { length: number; partSize: number; parts: number; begunAt: Date },
  ) {
    const id = await this.#id(
      `insert into udm_sync.uploads (file_id, sink, upload, part_size, length, source_etag, begun_at)
       values ($1, 'lake', '{}', $2, $3, 'etag', $4) returning id`,
      [file, partSize, length, begunAt],
    );
    await this.parts(id, partSize, 1, parts);
    return id;
  }

  async parts(upload: number, partSize: number, from: number, to: number) {
    await this.sql(
      `insert into udm_sync.parts (upload_id, number, size, etag, crc32)
       select $1::bigint, n, $2::bigint, 'etag', '00000000' from generate_series($3::int, $4::int) n`,
      [upload, partSize, from, to],
    );
  }

  async schedule(definition: string, nextTickAt: Date) {
    await this.sql(
      `insert into udm_sync.schedules (definition, cron, time_zone, last_tick_at, next_tick_at)
       values ($1, '5 * * * *', 'UTC', now(), $2)`,
      [definition, nextTickAt],
    );
  }

  async close() {
    await this.#connected;
    await this.#client.end();
  }

  async #id(text: string, values: unknown[]): Promise<number> {
    const [row] = await this.sql<{ id: string }>(text, values);
    if (!row) throw new Error('an insert returns its row');
    return Number(row.id);
  }
}
