/** What the process tells its caller; docs/cli.md. Kubernetes' podFailurePolicy in deploy/ relies on them. */
export const exitCodes = {
  done: 0,
  failed: 1,
  usage: 2,
  someWindowsFailed: 3,
  timedOut: 4,
  interrupted: 130,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];
