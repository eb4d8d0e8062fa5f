/**
 * rate-limit: blocks what one source begins faster than it may. A source is an IPv4 address or an
 * IPv6 /64: one household, whatever address it picks today.
 *
 *     setting   default    meaning
 *     per_s     10         new connections per second and source, 1 to 1000000
 *     burst     as per_s   how many may come at once, 1 to 1000000
 *
 *     rule 1: over the rate
 *
 * What is blocked counts in "limited". Packets from the gateway itself are not limited.
 */

import {
  Counter,
  Direction,
  Meter,
  Packet,
  Policy,
  Setup,
  Verdict,
  register,
} from "../assembly";

export { decide, evergate_abi_v1, init } from "../assembly";

const MAX: i64 = 1_000_000;

class RateLimit extends Policy {
  private sources: Meter | null;
  private limited: Counter;
  private rateMilli: u32;
  private burst: u32;

  constructor(setup: Setup) {
    super();
    const perS = setup.number("per_s", 10, 1, MAX);
    this.rateMilli = <u32>perS * 1000;
    this.burst = <u32>setup.number("burst", perS, 1, MAX);
    this.limited = setup.counter("limited");
    this.sources = setup.meter("sources");
    if (this.sources == null) setup.refuse("there is no room for a meter");
  }

  decide(packet: Packet): Verdict {
    if (packet.direction == Direction.FROM_GATEWAY) return Verdict.goOn();
    const first = packet.isV4 ? 12 : 0;
    const length = packet.isV4 ? 4 : 8;
    const sources = this.sources!;
    if (sources.take(packet.src, first, length, this.rateMilli, this.burst)) {
      return Verdict.goOn();
    }
    this.limited.add(1);
    return Verdict.block().rule(1);
  }
}

register((setup: Setup): Policy => new RateLimit(setup));
