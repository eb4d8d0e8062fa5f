/** my-policy: lets TCP connections to the ports of a list pass. */

import { Counter, Packet, Policy, Ports, Setup, Verdict, register } from "evergate-policy/assembly";

export { decide, evergate_abi_v1, init } from "evergate-policy/assembly";

class MyPolicy extends Policy {
  private ports: Ports;
  private others: Counter;

  /** Reads the settings and resolves names. */
  constructor(setup: Setup) {
    super();
    this.ports = new Ports(setup, "ports");
    this.others = setup.counter("others");
  }

  /** Decides about one packet that belongs to no state; makes no objects. */
  decide(packet: Packet): Verdict {
    if (packet.isTcp && this.ports.contains(packet.dport)) return Verdict.pass().rule(1);
    this.others.add(1);
    return Verdict.goOn();
  }
}

register((setup: Setup): Policy => new MyPolicy(setup));
