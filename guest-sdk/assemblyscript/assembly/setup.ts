import { Counter, Label, Level, Meter, Table, Tag, log } from "./handles";
import { configInt, configStr, resolve, textBuffer, utf8 } from "./host";

const TEXT_MAX: i32 = 112;
const valueBuffer: usize = memory.data(112);

/** What a policy can do while it is made: resolve names and read its settings. */
export class Setup {
  private refused: bool = false;

  /** Whether anything was refused; the gateway then does not take the policy. */
  get isRefused(): bool {
    return this.refused;
  }

  /** Says why the policy does not want to run; what is said first counts. */
  refuse(sentence: string): void {
    if (!this.refused) log(Level.ERROR, sentence);
    this.refused = true;
  }

  private find(kind: i32, name: string): i32 {
    return resolve(kind, textBuffer, utf8(name));
  }

  /** The address table of this name; null if the configuration has none. */
  table(name: string): Table | null {
    const id = this.find(0, name);
    return id < 0 ? null : new Table(id);
  }

  counter(name: string): Counter {
    return new Counter(this.find(1, name));
  }

  /** A meter; null if there is no room for another. */
  meter(name: string): Meter | null {
    const id = this.find(2, name);
    return id < 0 ? null : new Meter(id);
  }

  /** A tag; 0 if there is no room for another. */
  tag(name: string): Tag {
    return <Tag>max(this.find(3, name), 0);
  }

  /** A label; 0 if there is no room for another. */
  label(name: string): Label {
    return <Label>max(this.find(4, name), 0);
  }

  /** The id of the interface of this name; -1 if the configuration has none. */
  interface(name: string): i32 {
    return this.find(5, name);
  }

  /** The index-th value of a setting as a number, a boolean as 0 or 1; `i64.MIN_VALUE` if none. */
  int(key: string, index: i32 = 0): i64 {
    return configInt(textBuffer, utf8(key), index);
  }

  /** The index-th value of a setting as a text; null if it is none. */
  text(key: string, index: i32 = 0): string | null {
    const length = configStr(textBuffer, utf8(key), index, valueBuffer, TEXT_MAX);
    if (length < 0) return null;
    if (length > TEXT_MAX) {
      this.refuse("setting `" + key + "` has a text that is too long");
      return null;
    }
    return String.UTF8.decodeUnsafe(valueBuffer, length);
  }

  /** A setting that is a number within a range; `byDefault` if it is absent. */
  number(key: string, byDefault: i64, min: i64, max: i64): i64 {
    const n = this.int(key);
    if (n != i64.MIN_VALUE) {
      if (n >= min && n <= max) return n;
      this.refuse("setting `" + key + "` is out of range");
    } else if (this.text(key) != null) {
      this.refuse("setting `" + key + "` has to be a number");
    }
    return byDefault;
  }

  /** A setting that is true or false; `byDefault` if it is absent. */
  flag(key: string, byDefault: bool): bool {
    const n = this.int(key);
    if (n == 0 || n == 1) return n == 1;
    if (n != i64.MIN_VALUE || this.text(key) != null) {
      this.refuse("setting `" + key + "` has to be true or false");
    }
    return byDefault;
  }
}

/** A set of ports, from numbers and ranges: `[22, 443, "6000-6010"]`. */
export class Ports {
  private ranges: StaticArray<u16> = new StaticArray<u16>(128);
  private length: i32 = 0;

  /** Reads a setting; one that is absent is the empty set. */
  constructor(setup: Setup, key: string) {
    for (let index = 0; !setup.isRefused; index++) {
      const n = setup.int(key, index);
      if (n != i64.MIN_VALUE) {
        if (n < 1 || n > 65535) setup.refuse("setting `" + key + "`: a port is 1 to 65535");
        this.add(setup, key, <i32>n, <i32>n);
        continue;
      }
      const text = setup.text(key, index);
      if (text == null) break;
      const parts = text.split("-");
      const first = port(parts[0]);
      const last = port(parts[parts.length - 1]);
      if (first == 0 || first > last || parts.length > 2) {
        setup.refuse("setting `" + key + "`: `" + text + "` is not a port or a range like 80-90");
      }
      this.add(setup, key, first, last);
    }
  }

  private add(setup: Setup, key: string, first: i32, last: i32): void {
    if (this.length == this.ranges.length) {
      setup.refuse("setting `" + key + "` has more than 64 entries");
      return;
    }
    this.ranges[this.length] = <u16>first;
    this.ranges[this.length + 1] = <u16>last;
    this.length += 2;
  }

  contains(port: u16): bool {
    const ranges = this.ranges;
    for (let i = 0, n = this.length; i < n; i += 2) {
      if (port >= unchecked(ranges[i]) && port <= unchecked(ranges[i + 1])) return true;
    }
    return false;
  }
}

/** Reads a port; 0 if the text is none. */
function port(text: string): i32 {
  const digits = text.trim();
  let n = 0;
  for (let i = 0; i < digits.length; i++) {
    const digit = digits.charCodeAt(i) - 0x30;
    if (digit < 0 || digit > 9) return 0;
    n = n * 10 + digit;
    if (n > 65535) return 0;
  }
  return n;
}
