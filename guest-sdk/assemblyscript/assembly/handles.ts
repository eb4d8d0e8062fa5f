import { Address } from "./packet";
import { clock, count, logLine, meter, randomBits, tableMatch, textBuffer, utf8 } from "./host";

/** An address table. */
export class Table {
  constructor(private id: i32) {}

  contains(address: Address): bool {
    return tableMatch(this.id, changetype<usize>(address)) != 0;
  }
}

/** A counter that operators see. One that there was no room for counts nothing. */
export class Counter {
  constructor(private id: i32) {}

  add(n: u64): void {
    if (this.id >= 0) count(this.id, n);
  }
}

/** Token buckets, one per key. */
export class Meter {
  constructor(private id: i32) {}

  /**
   * Takes a token from the bucket of `length` bytes of an address, from byte `first` on, and tells
   * whether there was one. The bucket gains `rateMilli` thousandths of a token per second and holds
   * `burst` tokens.
   */
  take(address: Address, first: i32, length: i32, rateMilli: u32, burst: u32): bool {
    return meter(this.id, changetype<usize>(address) + first, length, rateMilli, burst) != 0;
  }
}

/** A tag that packets carry along the chain; 0 is none. */
export type Tag = u16;

/** A label of states; 0 is none. */
export type Label = u16;

export namespace Level {
  export const ERROR: i32 = 0;
  export const WARN: i32 = 1;
  export const INFO: i32 = 2;
  export const DEBUG: i32 = 3;
}

/** Writes a line to the gateway's log, which limits the rate. */
export function log(level: i32, text: string): void {
  logLine(level, textBuffer, utf8(text));
}

/** Monotonic nanoseconds at the packet's arrival. */
export function monotonicNs(): u64 {
  return clock(0);
}

/** Seconds since 1970 at the packet's arrival. */
export function wallS(): u64 {
  return clock(1);
}

/** 64 random bits, not for cryptography. */
export function random(): u64 {
  return randomBits();
}
