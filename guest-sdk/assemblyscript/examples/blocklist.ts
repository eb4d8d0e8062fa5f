/**
 * blocklist: blocks addresses of a table: countries, scanners, advertisers.
 *
 *     setting   default       meaning
 *     table     "blocklist"   the address table
 *     log       false         whether to log what is blocked
 *
 *     rule 1: from an address of the table, dropped silently
 *     rule 2: to an address of the table, refused, so that its sender sees an error
 *
 * Both count in "blocked".
 */

import { Counter, Packet, Policy, Setup, Table, Verdict, register } from "../assembly";

export { decide, evergate_abi_v1, init } from "../assembly";

class Blocklist extends Policy {
  private table: Table | null;
  private blocked: Counter;
  private log: bool;

  constructor(setup: Setup) {
    super();
    const text = setup.text("table");
    const name = text == null ? "blocklist" : text;
    this.blocked = setup.counter("blocked");
    this.log = setup.flag("log", false);
    this.table = setup.table(name);
    if (this.table == null) setup.refuse("setting `table`: there is no table `" + name + "`");
  }

  decide(packet: Packet): Verdict {
    const table = this.table!;
    let verdict: Verdict;
    if (table.contains(packet.src)) verdict = Verdict.block().rule(1);
    else if (table.contains(packet.dst)) verdict = Verdict.refuse(packet).rule(2);
    else return Verdict.goOn();
    this.blocked.add(1);
    return verdict.log(this.log);
  }
}

register((setup: Setup): Policy => new Blocklist(setup));
