/**
 * Loaded into a process of the program before it (`node --import`): gives it a wall clock that is wrong by
 * UDM_SYNC_TEST_CLOCK_OFF ms, and that jumps to the next of UDM_SYNC_TEST_CLOCK_JUMPS (ms, a list) at each SIGUSR2.
 * The monotonic clock and timers are right, as they are on a machine whose clock is set.
 */
const offsets = [
  Number(process.env['UDM_SYNC_TEST_CLOCK_OFF'] ?? 0),
  ...(process.env['UDM_SYNC_TEST_CLOCK_JUMPS'] ?? '').split(',').filter(Boolean).map(Number),
];
const RealDate = Date;
const now = () => RealDate.now() + (offsets[0] ?? 0);

globalThis.Date = new Proxy(RealDate, {
  construct: (target, given: unknown[], newTarget) =>
    Reflect.construct(target, given.length === 0 ? [now()] : given, newTarget) as Date,
  apply: () => new RealDate(now()).toString(),
  get: (target, property) => (property === 'now' ? now : (Reflect.get(target, property) as unknown)),
});

process.on('SIGUSR2', () => {
  if (offsets.length > 1) offsets.shift();
});
