/** IP protocols. */
export namespace Proto {
  export const ICMP: u8 = 1;
  export const TCP: u8 = 6;
  export const UDP: u8 = 17;
  export const ICMP6: u8 = 58;
}

/** Where a packet comes from and goes to, seen from the gateway. */
export namespace Direction {
  export const FORWARDED: u8 = 0;
  export const TO_GATEWAY: u8 = 1;
  export const FROM_GATEWAY: u8 = 2;
}

/** A 16-byte address in network order; IPv4 as ::ffff:a.b.c.d. */
@unmanaged
export class Address {
  /** Returns a byte, 0 to 15; those of an IPv4 address are 12 to 15. */
  byte(index: i32): u8 {
    return load<u8>(changetype<usize>(this) + <usize>(index & 15));
  }
}

/** One packet, where the gateway described it. */
@unmanaged
export class Packet {
  size: u16;
  /** 4 or 6. */
  af: u8;
  /** One of `Proto`, or another number. */
  proto: u8;
  /** One of `Direction`. */
  direction: u8;
  tcpFlags: u8;
  icmpType: u8;
  icmpCode: u8;
  private src0: u64;
  private src1: u64;
  private dst0: u64;
  private dst1: u64;
  /** Ports; 0 where there are none. */
  sport: u16;
  dport: u16;
  /** Ids of interfaces, see `Setup.interface`. */
  inIf: u16;
  outIf: u16;
  /** Bytes of the whole IP packet. */
  length: u32;
  ttl: u8;
  tos: u8;
  flags: u16;
  /** Tag that an earlier policy of the chain set; 0 none. */
  tag: u16;

  get src(): Address {
    return changetype<Address>(changetype<usize>(this) + offsetof<Packet>("src0"));
  }

  get dst(): Address {
    return changetype<Address>(changetype<usize>(this) + offsetof<Packet>("dst0"));
  }

  get isV4(): bool {
    return this.af == 4;
  }

  get isTcp(): bool {
    return this.proto == Proto.TCP;
  }

  get isUdp(): bool {
    return this.proto == Proto.UDP;
  }

  /** Whether it was put together from fragments. */
  get isReassembled(): bool {
    return (this.flags & 1) != 0;
  }

  /** Whether no more payload will be shown. */
  get isPayloadEnd(): bool {
    return (this.flags & 8) != 0;
  }

  get hasIpOptions(): bool {
    return (this.flags & 2) != 0;
  }
}

/** What was shown of a payload so far; it begins with the first byte every time. */
@unmanaged
export class Payload {
  /** Returns a byte; 0 where there is none. */
  byte(index: i32): u8 {
    return <u32>index < <u32>shown ? load<u8>(changetype<usize>(this) + <usize>index) : 0;
  }

  get length(): i32 {
    return shown;
  }
}

let shown: i32 = 0;

/** For the SDK itself: says how much is shown. */
export function setShown(length: i32): void {
  shown = length;
}
