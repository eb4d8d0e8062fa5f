/* The C SDK for Evergate policies: one header on top of evergate.h, no libc.
 *
 *   #include "policy.h"
 *
 *   static bool setup(void) { return true; }
 *
 *   static eg_decision decide(const eg_packet *packet) {
 *     if (eg_is_tcp(packet) && packet->dport == 443)
 *       return (eg_decision){.action = EG_PASS, .rule = 1};
 *     return EG_GO_ON;
 *   }
 *
 *   EG_POLICY(setup, decide)
 *
 * A policy that looks into payload says EG_POLICY_INSPECT instead. Hooks and saved state are
 * exported with EG_EXPORT, as ABI.md describes them.
 *
 * A module has one thread, so plain static variables hold its state. Names are resolved and
 * settings are read within setup only.
 */
#ifndef EVERGATE_POLICY_H
#define EVERGATE_POLICY_H

#include <stdbool.h>
#include <stddef.h>

#include "evergate.h"

/* One packet, where the gateway described it: af, proto, sport, dport, src, dst, ... */
typedef eg_request eg_packet;

/* IP protocols. */
enum { EG_ICMP = 1, EG_TCP = 6, EG_UDP = 17, EG_ICMP6 = 58 };

static inline bool eg_is_v4(const eg_packet *packet) { return packet->af == 4; }
static inline bool eg_is_tcp(const eg_packet *packet) { return packet->proto == EG_TCP; }
static inline bool eg_is_udp(const eg_packet *packet) { return packet->proto == EG_UDP; }
static inline bool eg_payload_ends(const eg_packet *packet) {
  return packet->flags & EG_PAYLOAD_END;
}

/* ---- texts, without a libc ---- */

static inline size_t eg_length(const char *text) {
  size_t length = 0;
  while (text[length]) length++;
  return length;
}

static inline bool eg_same(const char *a, const char *b) {
  while (*a && *a == *b) a++, b++;
  return *a == *b;
}

#define EG_TEXT_MAX 112

/* A text of at most EG_TEXT_MAX bytes, ended by a zero; what does not fit is cut. */
typedef struct eg_text {
  size_t length;
  char bytes[EG_TEXT_MAX + 1];
} eg_text;

static inline void eg_append(eg_text *text, const char *more) {
  while (*more && text->length < EG_TEXT_MAX) text->bytes[text->length++] = *more++;
  text->bytes[text->length] = 0;
}

/* ---- logs ---- */

/* Writes a line to the gateway's log; level is EG_LEVEL_ERROR and so on. */
static inline void eg_say(int32_t level, const char *text) {
  eg_log(level, text, (int32_t)eg_length(text));
}

/* Says why the policy does not want to run, from three parts of a sentence; returns false. */
static inline bool eg_fail(const char *a, const char *b, const char *c) {
  eg_text text = {0};
  eg_append(&text, a);
  eg_append(&text, b);
  eg_append(&text, c);
  eg_log(EG_LEVEL_ERROR, text.bytes, (int32_t)text.length);
  return false;
}

/* As eg_fail, about a setting: "setting `key`" and what is wrong with it. */
static inline bool eg_bad(const char *key, const char *what) {
  return eg_fail("setting `", key, what);
}

/* ---- tables, counters, meters, tags, labels ---- */

typedef struct eg_table { int32_t id; } eg_table;
typedef struct eg_counter { int32_t id; } eg_counter;
typedef struct eg_meter_set { int32_t id; } eg_meter_set;

static inline int32_t eg_find(int32_t kind, const char *name) {
  return eg_resolve(kind, name, (int32_t)eg_length(name));
}

/* Each finds the thing of this name; false if there is none, or no room for another. */
static inline bool eg_find_table(eg_table *table, const char *name) {
  return (table->id = eg_find(EG_KIND_TABLE, name)) >= 0;
}
static inline bool eg_find_counter(eg_counter *counter, const char *name) {
  return (counter->id = eg_find(EG_KIND_COUNTER, name)) >= 0;
}
static inline bool eg_find_meter(eg_meter_set *meter, const char *name) {
  return (meter->id = eg_find(EG_KIND_METER, name)) >= 0;
}

/* Ids of names for verdicts; 0 if there is no room for another. */
static inline uint16_t eg_find_tag(const char *name) {
  int32_t id = eg_find(EG_KIND_TAG, name);
  return id > 0 ? (uint16_t)id : 0;
}
static inline uint16_t eg_find_label(const char *name) {
  int32_t id = eg_find(EG_KIND_LABEL, name);
  return id > 0 ? (uint16_t)id : 0;
}

/* The interface's id, as in in_if and out_if; -1 if the configuration has none of this name. */
static inline int32_t eg_find_interface(const char *name) {
  return eg_find(EG_KIND_INTERFACE, name);
}

/* Whether the 16-byte address is in the table. */
static inline bool eg_contains(eg_table table, const uint8_t *address) {
  return eg_table_match(table.id, address) != 0;
}

/* Adds to the counter; one that was not found is left alone. */
static inline void eg_add(eg_counter counter, int64_t n) {
  if (counter.id >= 0) eg_count(counter.id, n);
}

/* Takes a token from the bucket of a key of at most 32 bytes and tells whether there was one. The
 * bucket gains rate_milli thousandths of a token per second and holds burst tokens. */
static inline bool eg_take(eg_meter_set meter, const void *key, size_t length, uint32_t rate_milli,
                           uint32_t burst) {
  return eg_meter(meter.id, key, (int32_t)length, (int32_t)rate_milli, (int32_t)burst) != 0;
}

/* ---- settings ---- */

/* Gives the index-th value of a setting, if it is a number or a boolean. */
static inline bool eg_int(const char *key, int32_t index, int64_t *value) {
  return (*value = eg_config_int(key, (int32_t)eg_length(key), index)) != INT64_MIN;
}

/* Gives the index-th value of a setting, if it is a text; one that is too long is cut to nothing,
 * with a length over EG_TEXT_MAX. */
static inline bool eg_string(const char *key, int32_t index, eg_text *text) {
  int32_t length =
      eg_config_str(key, (int32_t)eg_length(key), index, text->bytes, EG_TEXT_MAX);
  text->length = length < 0 ? 0 : (size_t)length;
  text->bytes[text->length > EG_TEXT_MAX ? 0 : text->length] = 0;
  return length >= 0;
}

/* Each reads a setting into *value, which keeps its default if the setting is absent; false, with
 * the reason in the log, if the setting makes no sense. */
static inline bool eg_number(const char *key, int64_t min, int64_t max, int64_t *value) {
  int64_t n;
  eg_text text;
  if (eg_int(key, 0, &n)) {
    if (n < min || n > max) return eg_bad(key, "` is out of range");
    *value = n;
  } else if (eg_string(key, 0, &text)) {
    return eg_bad(key, "` has to be a number");
  }
  return true;
}

static inline bool eg_flag(const char *key, bool *value) {
  int64_t n;
  eg_text text;
  if (eg_int(key, 0, &n) ? n != 0 && n != 1 : eg_string(key, 0, &text))
    return eg_bad(key, "` has to be true or false");
  if (n != INT64_MIN) *value = n == 1;
  return true;
}

/* Here the text stays empty if the setting is absent. */
static inline bool eg_text_setting(const char *key, eg_text *text) {
  eg_string(key, 0, text);
  return text->length <= EG_TEXT_MAX || eg_bad(key, "` has a text that is too long");
}

/* A set of ports, from numbers and ranges: [22, 443, "6000-6010"]. */
#define EG_PORTS_MAX 64
typedef struct eg_ports {
  uint32_t count;
  struct { uint16_t first, last; } ranges[EG_PORTS_MAX];
} eg_ports;

static inline const char *eg_parse_port(const char *text, uint16_t *port) {
  uint32_t n = 0;
  while (*text == ' ') text++;
  if (*text < '0' || *text > '9') return NULL;
  for (; *text >= '0' && *text <= '9'; text++)
    if ((n = n * 10 + (uint32_t)(*text - '0')) > 65535) return NULL;
  while (*text == ' ') text++;
  *port = (uint16_t)n;
  return text;
}

static inline bool eg_parse_ports(const char *text, uint16_t *first, uint16_t *last) {
  if (!(text = eg_parse_port(text, first))) return false;
  *last = *first;
  if (*text == '-' && !(text = eg_parse_port(text + 1, last))) return false;
  return !*text && *first && *first <= *last;
}

static inline bool eg_ports_setting(const char *key, eg_ports *ports) {
  int64_t n;
  eg_text text;
  uint16_t first, last;
  for (int32_t index = 0;; index++) {
    if (eg_int(key, index, &n)) {
      if (n < 1 || n > 65535) return eg_bad(key, "`: a port is 1 to 65535");
      first = last = (uint16_t)n;
    } else if (eg_string(key, index, &text)) {
      if (text.length > EG_TEXT_MAX) return eg_bad(key, "` has a text that is too long");
      if (!eg_parse_ports(text.bytes, &first, &last)) {
        eg_append(&text, "` is not a port or a range like 80-90");
        return eg_fail(key, "`: `", text.bytes);
      }
    } else {
      return true;
    }
    if (ports->count == EG_PORTS_MAX) return eg_bad(key, "` has more than 64 entries");
    ports->ranges[ports->count].first = first;
    ports->ranges[ports->count++].last = last;
  }
}

static inline bool eg_has_port(const eg_ports *ports, uint16_t port) {
  for (uint32_t i = 0; i < ports->count; i++)
    if (port >= ports->ranges[i].first && port <= ports->ranges[i].last) return true;
  return false;
}

/* ---- verdicts ---- */

/* What a policy says about a packet. What is not set is zero and means the gateway's default. */
typedef struct eg_decision {
  uint8_t action; /* EG_CONTINUE, EG_PASS, EG_BLOCK, EG_RETURN_RST, EG_RETURN_ICMP, EG_INSPECT */
  bool log, allow_options;
  bool each;    /* decide each further packet of its sender too; not for TCP */
  uint8_t keep; /* EG_KEEP_STATE, ... */
  uint16_t rule, tag, label;
  bool has_icmp_code;
  uint8_t icmp_code;
  uint16_t inspect; /* how much payload EG_INSPECT wants; 0 what the buffer takes */
  uint32_t first_s, opening_s, established_s, closing_s, finwait_s, closed_s;
} eg_decision;

#define EG_GO_ON ((eg_decision){.action = EG_CONTINUE})

/* Asks to see payload, as much as the buffer takes; for policies of EG_POLICY_INSPECT. */
#define EG_LOOK ((eg_decision){.action = EG_INSPECT})

/* Drops the packet and tells its sender at once: a reset for TCP, else "prohibited". */
static inline eg_decision eg_refuse(const eg_packet *packet) {
  if (eg_is_tcp(packet)) return (eg_decision){.action = EG_RETURN_RST};
  return (eg_decision){.action = EG_RETURN_ICMP,
                       .has_icmp_code = true,
                       .icmp_code = eg_is_v4(packet) ? 13 : 1};
}

static inline int64_t eg_encode(eg_decision d, eg_verdict *record) {
  uint32_t flags = (d.log ? EG_LOG : 0) | (d.allow_options ? EG_ALLOW_OPTIONS : 0) |
                   (d.each ? EG_EACH : 0);
  bool plain = !d.keep && !d.tag && !d.label && !d.has_icmp_code && !d.inspect && !d.first_s &&
               !d.opening_s && !d.established_s && !d.closing_s && !d.finwait_s && !d.closed_s;
  if (plain) return eg_word(d.action, flags, d.rule, 0);
  *record = (eg_verdict){.size = sizeof(eg_verdict),
                         .keep = d.keep,
                         .icmp_code = d.icmp_code,
                         .fields = d.has_icmp_code ? EG_HAS_ICMP_CODE : 0,
                         .tag = d.tag,
                         .label = d.label,
                         .inspect = d.inspect,
                         .first_s = d.first_s,
                         .opening_s = d.opening_s,
                         .established_s = d.established_s,
                         .closing_s = d.closing_s,
                         .finwait_s = d.finwait_s,
                         .closed_s = d.closed_s};
  return eg_word(d.action, flags, d.rule, record);
}

/* Exports a policy: bool setup(void), eg_decision decide(const eg_packet *). */
#define EG_POLICY(setup, decide)                                                       \
  static eg_request eg_the_request;                                                    \
  static eg_verdict eg_the_record;                                                     \
  EG_EXPORT(evergate_abi_v1) int32_t eg_export_version(void) {                         \
    return (int32_t)(intptr_t)&eg_the_request;                                         \
  }                                                                                    \
  EG_EXPORT(init) int32_t eg_export_init(void) { return setup() ? 0 : 1; }             \
  EG_EXPORT(decide) int64_t eg_export_decide(int32_t address) {                        \
    (void)address;                                                                     \
    return eg_encode(decide(&eg_the_request), &eg_the_record);                         \
  }

/* Exports a policy that looks into payload, into a buffer of so many bytes:
 * eg_decision inspect(const eg_packet *, const uint8_t *payload, size_t length). The payload begins
 * with the first byte every time; while eg_payload_ends is false there may be more, which EG_LOOK
 * asks for. */
#define EG_POLICY_INSPECT(setup, decide, inspect, bytes)                               \
  EG_POLICY(setup, decide)                                                             \
  static uint8_t eg_the_bytes[bytes];                                                  \
  static eg_payload eg_the_payload = {.address = eg_the_bytes, .capacity = (bytes)};   \
  EG_EXPORT(evergate_payload_v1) int32_t eg_export_payload(void) {                     \
    return (int32_t)(intptr_t)&eg_the_payload;                                         \
  }                                                                                    \
  EG_EXPORT(inspect) int64_t eg_export_inspect(int32_t address, int32_t length) {      \
    (void)address;                                                                     \
    return eg_encode(inspect(&eg_the_request, eg_the_bytes, (size_t)length),           \
                     &eg_the_record);                                                  \
  }

#endif
