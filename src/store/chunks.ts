/** Rows a statement takes: Postgres has room for 65,535 parameters in one. */
const rowsPerStatement = 1000;

/** Cuts rows into as many as fit into one statement, in order. */
export function* chunksOf<Row>(rows: readonly Row[]): Generator<Row[]> {
  for (let at = 0; at < rows.length; at += rowsPerStatement) yield rows.slice(at, at + rowsPerStatement);
}
