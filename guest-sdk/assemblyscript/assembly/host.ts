// The gateway's functions; pointers are addresses in this module's memory.

// @ts-ignore: decorator
@external("evergate", "resolve")
export declare function resolve(kind: i32, name: usize, len: i32): i32;
// @ts-ignore: decorator
@external("evergate", "config_int")
export declare function configInt(key: usize, len: i32, index: i32): i64;
// @ts-ignore: decorator
@external("evergate", "config_str")
export declare function configStr(key: usize, len: i32, index: i32, out: usize, cap: i32): i32;
// @ts-ignore: decorator
@external("evergate", "table_match")
export declare function tableMatch(table: i32, address: usize): i32;
// @ts-ignore: decorator
@external("evergate", "count")
export declare function count(counter: i32, n: i64): void;
// @ts-ignore: decorator
@external("evergate", "meter")
export declare function meter(id: i32, key: usize, len: i32, rateMilli: i32, burst: i32): i32;
// @ts-ignore: decorator
@external("evergate", "log")
export declare function logLine(level: i32, text: usize, len: i32): void;
// @ts-ignore: decorator
@external("evergate", "clock")
export declare function clock(kind: i32): i64;
// @ts-ignore: decorator
@external("evergate", "random")
export declare function randomBits(): i64;

/** The longest text that goes to the gateway, in bytes of UTF-8. */
const TEXT_MAX: i32 = 256;

/** Where `utf8` puts its text; the gateway is done with it when its function returns. */
export const textBuffer: usize = memory.data(256);

/** Puts a text into `textBuffer` as UTF-8 and returns its length; what is too long is cut. */
export function utf8(text: string): i32 {
  let length = text.length;
  if (String.UTF8.byteLength(text) > TEXT_MAX) length = min(length, TEXT_MAX / 3);
  return <i32>String.UTF8.encodeUnsafe(changetype<usize>(text), length, textBuffer);
}
