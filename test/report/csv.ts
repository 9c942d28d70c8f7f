/** Reads CSV as RFC 4180 has it: rows of cells; throws on anything else. */
export function parseCsv(text: string): string[][] {
  const rows: string[][] = [];
  let row: string[] = [];
  const cell = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/y;
  while (cell.lastIndex < text.length) {
    const at = cell.lastIndex;
    const found = cell.exec(text);
    if (!found) throw new Error(`no CSV at ${at}: ${text.slice(at, at + 40)}`);
    row.push(found[1]?.replaceAll('""', '"') ?? found[2] ?? '');
    if (found[3] === ',') continue;
    rows.push(row);
    row = [];
  }
  return rows;
}

/** The rows below the heading, by its names. */
export function recordsOf(text: string): Record<string, string>[] {
  const [heading = [], ...rows] = parseCsv(text);
  return rows.map((row) => {
    if (row.length !== heading.length) throw new Error(`a row has ${row.length} of ${heading.length} cells`);
    return Object.fromEntries(heading.map((name, at) => [name, row[at] ?? '']));
  });
}
