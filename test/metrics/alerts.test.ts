import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { z } from 'zod';
import { promtool, promtoolInstalled, read, root, rulesFile } from './promtool.ts';

const ruleFile = z.object({
  groups: z.array(
    z.object({
      name: z.string(),
      rules: z.array(
        z.strictObject({
          alert: z.string(),
          expr: z.string(),
          for: z.string().optional(),
          labels: z.object({ severity: z.enum(['warning', 'critical']) }),
          annotations: z.object({ summary: z.string().endsWith('.') }),
        }),
      ),
    }),
  ),
});
const testFile = z.object({
  tests: z.array(
    z.object({
      name: z.string(),
      alert_rule_test: z.array(z.object({ alertname: z.string(), exp_alerts: z.array(z.unknown()) })),
    }),
  ),
});

const rules = ruleFile.parse(parse(read('deploy/prometheus/alerts.yaml'))).groups.flatMap((g) => g.rules);
const cases = testFile.parse(parse(read('deploy/prometheus/alerts.test.yaml'))).tests;

test('every alert has a case in which it fires and a healthy one in which it does not', () => {
  const names = rules.map((rule) => rule.alert).sort();
  const tried = cases.flatMap(({ name, alert_rule_test }) =>
    alert_rule_test.map((one) => ({ ...one, name })),
  );
  const of = (fires: boolean) =>
    [...new Set(tried.filter((t) => t.exp_alerts.length > 0 === fires).map((t) => t.alertname))].sort();
  expect(of(true)).toEqual(names);
  expect(of(false)).toEqual(names);
  expect(new Set(tried.filter((t) => t.exp_alerts.length === 0).map((t) => t.name))).toEqual(
    new Set(['healthy']),
  );
});

test('docs/metrics.md explains every alert there is, and no other', () => {
  const section = read('docs/metrics.md').split('\n## Alerts\n')[1] ?? '';
  const rows = [...section.matchAll(/^\| `(UdmSync\w+)` +\| (\w+) +\| \S.*\| \S.*\|$/gm)];
  expect(rows.map(([, name, severity]) => `${name ?? ''} ${severity ?? ''}`).sort()).toEqual(
    rules.map((rule) => `${rule.alert} ${rule.labels.severity}`).sort(),
  );
});

describe.runIf(promtoolInstalled)('promtool', () => {
  test('accepts the rules', () => {
    expect(promtool(['check', 'rules', rulesFile])).toMatchObject({ ok: true });
  });

  test('sees each alert fire on a series that is wrong, and none on a healthy one', () => {
    expect(promtool(['test', 'rules', join(root, 'deploy/prometheus/alerts.test.yaml')])).toMatchObject({
      ok: true,
    });
  });

  test('accepts what each panel of the dashboard asks', () => {
    const folder = mkdtempSync(join(tmpdir(), 'udm-sync-metrics-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const dashboard = z
      .object({
        panels: z.array(
          z.object({
            title: z.string(),
            targets: z.array(z.object({ expr: z.string(), refId: z.string() })).default([]),
          }),
        ),
      })
      .parse(JSON.parse(read('deploy/grafana/dashboard.json')));
    const asked = dashboard.panels.flatMap(({ title, targets }) =>
      targets.map(({ expr, refId }) => ({
        record: `panel:${`${title} ${refId}`.replaceAll(/\W+/g, '_')}`,
        expr: expr.replaceAll('$__rate_interval', '5m').replaceAll('$definition', '.*'),
      })),
    );
    expect(asked.length).toBeGreaterThan(30);
    expect(asked.map(({ expr }) => expr).filter((expr) => expr.includes('$'))).toEqual([]);
    const file = join(folder, 'panels.yaml');
    writeFileSync(file, stringify({ groups: [{ name: 'panels', rules: asked }] }));
    expect(promtool(['check', 'rules', file])).toMatchObject({ ok: true });
  });
});
