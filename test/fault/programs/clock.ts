// To be imported before anything else: what is loaded later sees the shifted clock, however it reads it.
const readClock = Date.now;
let shift = Number(process.env['FAULT_CLOCK_SHIFT_MS'] ?? 0);

Date.now = () => readClock() + shift;

/** Sets the clock of this process off by so much. */
export function shiftClock(ms: number): void {
  shift = ms;
}
