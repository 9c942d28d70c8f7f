/**
 * Asks the registry for advisories about what is installed in production, by the lockfile of the working directory.
 * Fails on high and critical ones. A registry that answers no audits (a mirror, a cache, no network) is no reason to
 * fail: it is said, and the build goes on.
 *
 *   npm run audit
 */
import { spawnSync } from 'node:child_process';
import { z } from 'zod';

/** The part of npm's report (version 2, npm 7 and later) that decides. */
const report = z.object({
  auditReportVersion: z.literal(2),
  vulnerabilities: z.record(
    z.string(),
    z.object({
      name: z.string(),
      severity: z.string(),
      via: z.array(z.union([z.string(), z.object({ title: z.string(), url: z.string() })])),
    }),
  ),
});
/** What npm prints instead when the registry did not answer as it should. */
const refusal = z.object({ message: z.string().optional(), statusCode: z.number().optional() });

const { stdout, error } = spawnSync('npm', ['audit', '--omit=dev', '--json'], {
  encoding: 'utf8',
  maxBuffer: 64 * 1024 * 1024,
});
if (error) throw error;
process.exitCode = judge(stdout);

function judge(answer: string): number {
  const found = report.safeParse(parse(answer));
  if (!found.success) {
    console.log(`audit: the registry answers no audits (${whyNot(answer)}); going on without.`);
    return 0;
  }
  const all = Object.values(found.data.vulnerabilities);
  const bad = all.filter(({ severity }) => severity === 'high' || severity === 'critical');
  for (const { name, severity, via } of bad) {
    console.error(`audit: ${name} is ${severity}`);
    for (const cause of via)
      console.error(typeof cause === 'string' ? `  by ${cause}` : `  ${cause.title} ${cause.url}`);
  }
  if (bad.length > 0) {
    console.error(
      `audit: ${bad.length} production dependencies with high or critical advisories. Update them; npm audit --omit=dev says how.`,
    );
    return 1;
  }
  console.log(
    `audit: no high or critical advisories in production dependencies (${all.length} lesser ones).`,
  );
  return 0;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Without the address: it may hold credentials. */
function whyNot(answer: string): string {
  const { statusCode, message } = refusal.safeParse(parse(answer)).data ?? {};
  if (statusCode !== undefined) return `HTTP ${statusCode}`;
  return message?.replace(/https?:\/\/\S+/g, 'the registry').slice(0, 200) ?? 'no report came';
}
