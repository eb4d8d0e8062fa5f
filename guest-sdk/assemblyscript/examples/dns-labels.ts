/**
 * dns-labels: refuses DNS queries for names with a listed label, whatever is around it. It looks
 * into what goes to port 53, over UDP and TCP; over TCP into the first query.
 *
 *     setting   default   meaning
 *     labels    none      up to 8 labels: ["ads", "tracker"]
 *
 *     rule 1: a listed label    rule 2: not a query of one name
 *
 * Both count in "blocked" and are logged.
 */

import { Counter, Packet, Payload, Policy, Setup, Verdict, register } from "../assembly";

export { decide, evergate_abi_v1, evergate_payload_v1, init, inspect } from "../assembly";

const HEADER: i32 = 12;
/** RFC 1035 2.3.4; the root's byte is not counted. */
const NAME_MAX: i32 = 254;
const LABEL_MAX: i32 = 63;
const LABELS_MAX: i32 = 8;
/** So that the work is bounded; a name of ip6.arpa has 34. */
const NAME_LABELS_MAX: i32 = 40;

const CLEAN = 0;
const LISTED = 1;
const NO_QUERY = 2;

class DnsLabels extends Policy {
  /** In small letters. */
  private labels: StaticArray<Uint8Array>;
  private blocked: Counter;

  constructor(setup: Setup) {
    super();
    this.blocked = setup.counter("blocked");
    this.labels = labels(setup);
  }

  decide(packet: Packet): Verdict {
    const isDns = (packet.isUdp || packet.isTcp) && packet.dport == 53;
    return isDns ? Verdict.inspect() : Verdict.goOn();
  }

  inspect(packet: Packet, payload: Payload): Verdict {
    let start = 0;
    let end = payload.length;
    if (packet.isTcp) {
      // Behind its length (RFC 1035 4.2.2).
      start = 2;
      const message = start + ((<i32>payload.byte(0) << 8) | payload.byte(1));
      if (end < start || end < message) {
        if (!packet.isPayloadEnd) return Verdict.inspect();
        end = start;
      } else {
        end = message;
      }
    }
    const found = this.look(payload, start, end);
    if (found == CLEAN) return Verdict.goOn().each();
    this.blocked.add(1);
    return Verdict.refuse(packet).rule(<u16>found).log();
  }

  /** Tells about the name that the query from `start` to `end` asks for (RFC 1035 4.1). */
  private look(payload: Payload, start: i32, end: i32): i32 {
    if (end - start < HEADER || payload.byte(start + 2) & 0x80) return NO_QUERY;
    if (payload.byte(start + 4) != 0 || payload.byte(start + 5) != 1) return NO_QUERY;
    let found = CLEAN;
    const question = start + HEADER;
    let at = question;
    for (let n = 0; n <= NAME_LABELS_MAX && at < end; n++) {
      const length = <i32>payload.byte(at++);
      // Behind the root, type and class follow.
      if (length == 0) return end - at >= 4 ? found : NO_QUERY;
      if (length > LABEL_MAX || end - at < length) return NO_QUERY;
      if (found == CLEAN && this.isListed(payload, at, length)) found = LISTED;
      at += length;
      if (at - question > NAME_MAX) return NO_QUERY;
    }
    return NO_QUERY;
  }

  private isListed(payload: Payload, at: i32, length: i32): bool {
    const labels = this.labels;
    for (let n = 0; n < labels.length; n++) {
      const label = unchecked(labels[n]);
      if (label.length != length) continue;
      let i = 0;
      while (i < length && lower(payload.byte(at + i)) == unchecked(label[i])) i++;
      if (i == length) return true;
    }
    return false;
  }
}

function lower(c: u8): u8 {
  return c >= 0x41 && c <= 0x5a ? c + 32 : c;
}

function labels(setup: Setup): StaticArray<Uint8Array> {
  const labels = new Array<Uint8Array>();
  for (let index = 0; ; index++) {
    const text = setup.text("labels", index);
    if (text == null) break;
    const label = Uint8Array.wrap(String.UTF8.encode(text));
    if (label.length < 1 || label.length > LABEL_MAX) {
      setup.refuse("setting `labels`: a label has 1 to 63 bytes");
    }
    if (text.includes(".")) setup.refuse("setting `labels`: a label has no dot");
    if (index == LABELS_MAX) setup.refuse("setting `labels` has more than 8 entries");
    for (let i = 0; i < label.length; i++) label[i] = lower(label[i]);
    labels.push(label);
  }
  if (setup.int("labels", labels.length) != i64.MIN_VALUE) {
    setup.refuse("setting `labels` has to hold texts");
  }
  return StaticArray.fromArray(labels);
}

register((setup: Setup): Policy => new DnsLabels(setup));
