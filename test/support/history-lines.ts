import type { QueryResultRow } from 'pg';

/** Whatever asks the database of a test. */
interface Place {
  sql<Row extends QueryResultRow>(text: string): Promise<Row[]>;
}

/** Every line of history, in order: what explains an auditor's complaint. Never fails. */
export async function historyLines(place: Place): Promise<string> {
  const lines = await place
    .sql<{ line: string }>(
      `select concat_ws(' ', h.id, h.at, r.definition, h.run_id, h.subject, h.file_id, h.from_state, '->', h.to_state,
         h.reason, h.who) as line
       from udm_sync.history h join udm_sync.runs r on r.id = h.run_id order by h.id`,
    )
    .catch((error: unknown) => [{ line: `no history: ${String(error)}` }]);
  return lines.map(({ line }) => line).join('\n');
}
