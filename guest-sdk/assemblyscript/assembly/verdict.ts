import { Label, Tag } from "./handles";
import { Packet } from "./packet";

/** How a connection that passes is remembered. */
export namespace Keep {
  export const STATE: u8 = 0;
  export const NONE: u8 = 1;
  export const SLOPPY: u8 = 2;
  export const LOOSE: u8 = 3;
}

const ICMP_CODE: u16 = 1;

/** What the verdict word cannot hold. */
@unmanaged
class Fields {
  size: u16;
  keep: u8;
  icmpCode: u8;
  fields: u16;
  tag: u16;
  label: u16;
  inspect: u16;
  first: u32;
  opening: u32;
  established: u32;
  closing: u32;
  finwait: u32;
  closed: u32;
}

// 64 bytes, aligned to 8.
const record = changetype<Fields>(memory.data<u64>([64, 0, 0, 0, 0, 0, 0, 0]));

/**
 * What a policy says about a packet: `Verdict.pass().rule(1).log()`. There is one object, so that
 * a decision allocates nothing: a verdict is to be returned, not kept.
 */
export class Verdict {
  private word: u64 = 0;
  private hasRecord: bool = false;

  private static of(action: u64): Verdict {
    const verdict = the;
    verdict.word = action;
    if (verdict.hasRecord) {
      memory.fill(changetype<usize>(record), 0, 64);
      record.size = 64;
      verdict.hasRecord = false;
    }
    return verdict;
  }

  /** Asks the next policy of the chain. */
  static goOn(): Verdict {
    return Verdict.of(0);
  }

  /** Lets it pass and keeps a state. */
  static pass(): Verdict {
    return Verdict.of(1);
  }

  /** Drops it silently. */
  static block(): Verdict {
    return Verdict.of(2);
  }

  /** Drops it and answers TCP with a reset. */
  static returnRst(): Verdict {
    return Verdict.of(3);
  }

  /** Drops it and answers with an ICMP unreachable error; the code -1 is port unreachable. */
  static returnIcmp(code: i32 = -1): Verdict {
    const verdict = Verdict.of(4);
    if (code < 0) return verdict;
    record.icmpCode = <u8>code;
    record.fields = ICMP_CODE;
    verdict.hasRecord = true;
    return verdict;
  }

  /** Asks to see payload; 0 is as many bytes as the buffer takes. */
  static inspect(bytes: u16 = 0): Verdict {
    const verdict = Verdict.of(5);
    if (!bytes) return verdict;
    record.inspect = bytes;
    verdict.hasRecord = true;
    return verdict;
  }

  /** Drops it and tells its sender at once: a reset for TCP, else "prohibited". */
  static refuse(packet: Packet): Verdict {
    return packet.isTcp ? Verdict.returnRst() : Verdict.returnIcmp(packet.isV4 ? 13 : 1);
  }

  /** Names the rule that decided. */
  rule(rule: u16): Verdict {
    this.word |= <u64>rule << 16;
    return this;
  }

  /** Asks to log the packet. */
  log(yes: bool = true): Verdict {
    this.word |= <u64>yes << 8;
    return this;
  }

  /** Lets it pass although it carries IP options. */
  allowOptions(): Verdict {
    this.word |= 2 << 8;
    return this;
  }

  /** Asks to decide each further packet of its sender too; not for TCP. */
  each(): Verdict {
    this.word |= 4 << 8;
    return this;
  }

  /** Says how the connection is remembered. */
  keep(keep: u8): Verdict {
    record.keep = keep;
    this.hasRecord = true;
    return this;
  }

  /** Tags the packet for later policies and the state. */
  tag(tag: Tag): Verdict {
    record.tag = tag;
    this.hasRecord = true;
    return this;
  }

  /** Labels the state. */
  label(label: Label): Verdict {
    record.label = label;
    this.hasRecord = true;
    return this;
  }

  /** Sets timeouts of the state, in seconds; 0 is the gateway's. */
  timeouts(
    first: u32,
    opening: u32,
    established: u32,
    closing: u32 = 0,
    finwait: u32 = 0,
    closed: u32 = 0,
  ): Verdict {
    record.first = first;
    record.opening = opening;
    record.established = established;
    record.closing = closing;
    record.finwait = finwait;
    record.closed = closed;
    this.hasRecord = true;
    return this;
  }

  /** Returns the verdict word. */
  encode(): i64 {
    return this.word | (this.hasRecord ? <u64>changetype<usize>(record) << 32 : 0);
  }
}

const the = new Verdict();
