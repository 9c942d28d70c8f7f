/**
 * How the image starts Node (test/deploy/start.test.ts). The young generation of V8's heap otherwise grows to 128 MiB in
 * a long transfer, for objects that live a millisecond.
 */
export const nodeFlags: readonly string[] = ['--max-semi-space-size=8'];
