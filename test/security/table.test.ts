import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import ts from 'typescript';
import { expect, test } from 'vitest';

const root = join(import.meta.dirname, '../..');

/** The titles of all tests of a file, as they are written. */
function titlesIn(source: string): Set<string> {
  const titles = new Set<string>();
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node) && isTest(node.expression)) {
      const [title] = node.arguments;
      if (title && ts.isStringLiteralLike(title)) titles.add(title.text);
      else if (title && ts.isTemplateExpression(title)) titles.add(title.getText().slice(1, -1));
    }
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile('x.ts', source, ts.ScriptTarget.Latest, true));
  return titles;
}

/** `test`, `it`, and what hangs on them: `test.each([…])`, `it.runIf(x)`. */
function isTest(callee: ts.Expression): boolean {
  if (ts.isIdentifier(callee)) return callee.text === 'test' || callee.text === 'it';
  if (ts.isCallExpression(callee)) return isTest(callee.expression);
  if (ts.isTaggedTemplateExpression(callee)) return isTest(callee.tag);
  return ts.isPropertyAccessExpression(callee) && isTest(callee.expression);
}

test('every test that docs/security.md names exists, and every row names one', async () => {
  const text = await readFile(join(root, 'docs/security.md'), 'utf8');
  const rows = text.split('\n').filter((line) => /^\| /.test(line) && !/^\| (Attack|Decision|-)/.test(line));
  expect(rows.length).toBeGreaterThan(40);
  let named = 0;
  const missing: string[] = [];
  for (const row of rows) {
    const proof = row.split('|').at(-2) ?? '';
    const references = [...proof.matchAll(/`(test\/[\w/.-]+\.ts)` "((?:[^"\\]|\\.)+)"/g)];
    expect(references.length, row).toBeGreaterThan(0);
    // Nothing in that cell but references.
    expect(proof.replaceAll(/`test\/[\w/.-]+\.ts` "[^"]+"/g, '').replaceAll(/[;\s]/g, ''), row).toBe('');
    for (const [, file = '', title = ''] of references) {
      const titles = titlesIn(await readFile(join(root, file), 'utf8'));
      if (!titles.has(title)) missing.push(`${file} "${title}"`);
      named += 1;
    }
  }
  expect(missing).toEqual([]);
  expect(named).toBeGreaterThan(70);
});
