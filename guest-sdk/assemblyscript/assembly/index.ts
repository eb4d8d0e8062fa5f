/**
 * The AssemblyScript SDK for Evergate policies.
 *
 *     import { Packet, Policy, Setup, Verdict, register } from "evergate-policy/assembly";
 *     export { decide, evergate_abi_v1, init } from "evergate-policy/assembly";
 *
 *     class WebOnly extends Policy {
 *       decide(packet: Packet): Verdict {
 *         if (packet.isTcp && packet.dport == 443) return Verdict.pass().rule(1);
 *         return Verdict.goOn();
 *       }
 *     }
 *
 *     register((setup: Setup): Policy => new WebOnly());
 *
 * Hooks and saved state are exported functions of the policy's file, as ABI.md describes them.
 *
 * The runtime is `stub`, which never frees: make objects in the constructor, not in `decide`.
 */

import { Packet, Payload, setShown } from "./packet";
import { Setup } from "./setup";
import { Verdict } from "./verdict";

export { Address, Direction, Packet, Payload, Proto } from "./packet";
export { Counter, Label, Level, Meter, Table, Tag, log, monotonicNs, random, wallS } from "./handles";
export { Ports, Setup } from "./setup";
export { Keep, Verdict } from "./verdict";

/** A policy: made once per instance, then asked about every packet without a state. */
export abstract class Policy {
  abstract decide(packet: Packet): Verdict;

  /**
   * Decides by the payload so far, after `Verdict.inspect()`. While `packet.isPayloadEnd` is false
   * there may be more, which another `Verdict.inspect()` asks for. Such a policy's file also
   * exports `evergate_payload_v1` and `inspect`.
   */
  inspect(packet: Packet, payload: Payload): Verdict {
    return Verdict.block();
  }
}

class Nothing extends Policy {
  decide(packet: Packet): Verdict {
    return Verdict.goOn();
  }
}

/** The most bytes of payload that a policy is shown. */
const CAPACITY: i32 = 1024;
const payloadBytes: usize = memory.data(1024);
// Address and capacity; aligned to 8.
const payloadRecord: usize = memory.data<u64>([0]);

// 64 bytes, aligned to 8.
const request: usize = memory.data<u64>([0, 0, 0, 0, 0, 0, 0, 0]);

let make: (setup: Setup) => Policy = (setup: Setup): Policy => new Nothing();
let policy: Policy = new Nothing();

/** Says how the policy is made; to be called once, outside of any function. */
export function register(how: (setup: Setup) => Policy): void {
  make = how;
}

// What the gateway calls. A policy's own file exports these.

export function evergate_abi_v1(): i32 {
  return <i32>request;
}

export function init(): i32 {
  const setup = new Setup();
  policy = make(setup);
  return <i32>setup.isRefused;
}

export function decide(address: i32): i64 {
  return policy.decide(changetype<Packet>(request)).encode();
}

export function evergate_payload_v1(): i32 {
  store<u32>(payloadRecord, <u32>payloadBytes);
  store<u32>(payloadRecord + 4, CAPACITY);
  return <i32>payloadRecord;
}

export function inspect(address: i32, length: i32): i64 {
  setShown(length);
  return policy
    .inspect(changetype<Packet>(request), changetype<Payload>(payloadBytes))
    .encode();
}
