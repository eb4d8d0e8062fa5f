/**
 * port-list: lets connections to listed ports pass, and leaves the rest to the next policy.
 *
 *     setting   default  meaning
 *     tcp       none     TCP ports and ranges: [22, 443, "6000-6010"]
 *     udp       none     UDP ports and ranges
 *     label     none     label of the states that are made
 *
 *     rule 1: a TCP port of the list    rule 2: a UDP port of the list
 */

import { Label, Packet, Policy, Ports, Setup, Verdict, register } from "../assembly";

export { decide, evergate_abi_v1, init } from "../assembly";

class PortList extends Policy {
  private tcp: Ports;
  private udp: Ports;
  private label: Label = 0;

  constructor(setup: Setup) {
    super();
    this.tcp = new Ports(setup, "tcp");
    this.udp = new Ports(setup, "udp");
    const label = setup.text("label");
    if (label != null) this.label = setup.label(label);
  }

  decide(packet: Packet): Verdict {
    if (packet.isTcp && this.tcp.contains(packet.dport)) return this.pass(1);
    if (packet.isUdp && this.udp.contains(packet.dport)) return this.pass(2);
    return Verdict.goOn();
  }

  private pass(rule: u16): Verdict {
    const verdict = Verdict.pass().rule(rule);
    return this.label ? verdict.label(this.label) : verdict;
  }
}

register((setup: Setup): Policy => new PortList(setup));
