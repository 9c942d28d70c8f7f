import { UsageError } from '../errors.ts';

/** One mistake in the configuration. Never carries a secret. */
export interface ConfigIssue {
  /** Where: `tenants.acme.auth.grant`, or the name of an environment variable or file. */
  readonly path: string;
  /** What is wrong and what is allowed. */
  readonly message: string;
  /** What stands there, as text; absent for secrets, sections and missing settings. */
  readonly value?: string;
  /** Line of the YAML file, from 1. */
  readonly line?: number;
  /** The environment variable that the value came from. */
  readonly variable?: string;
}

const defaultHint = 'See docs/configuration.md for every setting.';

/** The configuration is wrong. All mistakes at once, in the order of the file. Code `ERR_CONFIG`. */
export class ConfigError extends UsageError {
  override readonly code: string = 'ERR_CONFIG';
  readonly issues: readonly ConfigIssue[];

  constructor(source: string, issues: readonly ConfigIssue[], hint = defaultHint) {
    const sorted = issues.toSorted((a, b) => (a.line ?? Infinity) - (b.line ?? Infinity));
    const count = sorted.length === 1 ? '1 mistake' : `${sorted.length} mistakes`;
    super([`${count} in the configuration (${source}):`, ...sorted.map(describeIssue), ''].join('\n'), {
      hint,
    });
    this.issues = sorted;
  }
}

function describeIssue(issue: ConfigIssue): string {
  const where = issue.line === undefined ? '' : `line ${issue.line}: `;
  const from = issue.variable === undefined ? '' : ` (from ${issue.variable})`;
  const value = issue.value === undefined ? '' : `; got ${issue.value}`;
  return `  - ${where}${issue.path}${from} ${issue.message}${value}`;
}
