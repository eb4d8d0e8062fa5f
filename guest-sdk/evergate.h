/* Evergate policy ABI, version 1. Generated from guest-sdk/abi: do not edit.
 * The meaning of everything here is in ABI.md. A policy in C looks like this:
 *
 *   static eg_request request;
 *   EG_EXPORT(evergate_abi_v1) int32_t version(void) { return (int32_t)(intptr_t)&request; }
 *   EG_EXPORT(decide) int64_t decide(int32_t address) {
 *     (void)address;
 *     return eg_word(request.dport == 443 ? EG_PASS : EG_CONTINUE, 0, 1, 0);
 *   }
 */
#ifndef EVERGATE_H
#define EVERGATE_H

#include <stdint.h>

#define EG_ABI_VERSION 1
#define EG_EXPORT(name) __attribute__((export_name(#name)))
#define EG_IMPORT(name) \
  __attribute__((import_module("evergate"), import_name(#name)))

/* Actions of a verdict. */
#define EG_CONTINUE 0
#define EG_PASS 1
#define EG_BLOCK 2
#define EG_RETURN_RST 3
#define EG_RETURN_ICMP 4
#define EG_INSPECT 5

/* Flags of a verdict word. */
#define EG_LOG 1
#define EG_ALLOW_OPTIONS 2
#define EG_EACH 4

/* Values of eg_verdict.keep. */
#define EG_KEEP_STATE 0
#define EG_KEEP_NONE 1
#define EG_KEEP_SLOPPY 2
#define EG_KEEP_LOOSE 3

/* Bits of eg_verdict.fields. */
#define EG_HAS_ICMP_CODE 1

/* Values of eg_request.direction. */
#define EG_FORWARDED 0
#define EG_TO_GATEWAY 1
#define EG_FROM_GATEWAY 2

/* Bits of eg_request.flags. */
#define EG_REASSEMBLED 1
#define EG_IP_OPTIONS 2
#define EG_SUPER_PACKET 4
#define EG_PAYLOAD_END 8

/* Values of eg_state_end.cause. */
#define EG_END_EXPIRED 0
#define EG_END_KILLED 1
#define EG_END_REOPENED 2
#define EG_END_BLOCKED 3

/* The most payload to inspect, and the largest blob to save, in bytes. */
#define EG_INSPECT_MAX 16384
#define EG_SAVE_MAX 65536

/* Interface ids with a meaning of their own. */
#define EG_IF_SELF 0
#define EG_IF_UNKNOWN 65535

/* Kinds for eg_resolve. */
#define EG_KIND_TABLE 0
#define EG_KIND_COUNTER 1
#define EG_KIND_METER 2
#define EG_KIND_TAG 3
#define EG_KIND_LABEL 4
#define EG_KIND_INTERFACE 5

/* Levels for eg_log. */
#define EG_LEVEL_ERROR 0
#define EG_LEVEL_WARN 1
#define EG_LEVEL_INFO 2
#define EG_LEVEL_DEBUG 3

/* Kinds for eg_clock. */
#define EG_CLOCK_MONOTONIC_NS 0
#define EG_CLOCK_WALL_S 1

/* The longest timeout of a verdict, in seconds. */
#define EG_TIMEOUT_MAX_S 31536000

/* What a guest is told about one packet. */
typedef struct eg_request {
  _Alignas(8) uint16_t size; /* 0: size of this record: 64 */
  uint8_t af; /* 2: address family: 4 or 6 */
  uint8_t proto; /* 3: IP protocol after extension headers (6 TCP, 17 UDP) */
  uint8_t direction; /* 4: 0 forwarded, 1 to the gateway itself, 2 from the gateway itself */
  uint8_t tcp_flags; /* 5: TCP flags as on the wire, 0 if not TCP */
  uint8_t icmp_type; /* 6: ICMP or ICMPv6 type, 0 if neither */
  uint8_t icmp_code; /* 7: ICMP or ICMPv6 code, 0 if neither */
  uint8_t src[16]; /* 8: source address; IPv4 as ::ffff:a.b.c.d */
  uint8_t dst[16]; /* 24: destination address; IPv4 as ::ffff:a.b.c.d */
  uint16_t sport; /* 40: source port, 0 where there is none */
  uint16_t dport; /* 42: destination port, 0 where there is none */
  uint16_t in_if; /* 44: ingress interface id; 0 the gateway itself, 0xffff unknown */
  uint16_t out_if; /* 46: egress interface id; 0 the gateway itself, 0xffff unknown */
  uint32_t length; /* 48: bytes of the whole IP packet; of the whole super-packet */
  uint8_t ttl; /* 52: IPv4 TTL or IPv6 hop limit, as received */
  uint8_t tos; /* 53: IPv4 TOS or IPv6 traffic class */
  uint16_t flags; /* 54: bits: 1 reassembled, 2 IP options present, 4 super-packet, 8 payload ends */
  uint16_t tag; /* 56: tag set by an earlier policy of the chain, 0 none */
  uint8_t reserved[6]; /* 58: zero */
} eg_request;
_Static_assert(sizeof(eg_request) == 64, "size of eg_request");
_Static_assert(__builtin_offsetof(eg_request, size) == 0, "eg_request.size");
_Static_assert(__builtin_offsetof(eg_request, af) == 2, "eg_request.af");
_Static_assert(__builtin_offsetof(eg_request, proto) == 3, "eg_request.proto");
_Static_assert(__builtin_offsetof(eg_request, direction) == 4, "eg_request.direction");
_Static_assert(__builtin_offsetof(eg_request, tcp_flags) == 5, "eg_request.tcp_flags");
_Static_assert(__builtin_offsetof(eg_request, icmp_type) == 6, "eg_request.icmp_type");
_Static_assert(__builtin_offsetof(eg_request, icmp_code) == 7, "eg_request.icmp_code");
_Static_assert(__builtin_offsetof(eg_request, src) == 8, "eg_request.src");
_Static_assert(__builtin_offsetof(eg_request, dst) == 24, "eg_request.dst");
_Static_assert(__builtin_offsetof(eg_request, sport) == 40, "eg_request.sport");
_Static_assert(__builtin_offsetof(eg_request, dport) == 42, "eg_request.dport");
_Static_assert(__builtin_offsetof(eg_request, in_if) == 44, "eg_request.in_if");
_Static_assert(__builtin_offsetof(eg_request, out_if) == 46, "eg_request.out_if");
_Static_assert(__builtin_offsetof(eg_request, length) == 48, "eg_request.length");
_Static_assert(__builtin_offsetof(eg_request, ttl) == 52, "eg_request.ttl");
_Static_assert(__builtin_offsetof(eg_request, tos) == 53, "eg_request.tos");
_Static_assert(__builtin_offsetof(eg_request, flags) == 54, "eg_request.flags");
_Static_assert(__builtin_offsetof(eg_request, tag) == 56, "eg_request.tag");
_Static_assert(__builtin_offsetof(eg_request, reserved) == 58, "eg_request.reserved");

/* What the verdict word cannot hold. */
typedef struct eg_verdict {
  _Alignas(8) uint16_t size; /* 0: size of this record: 64 */
  uint8_t keep; /* 2: 0 state, 1 none, 2 sloppy, 3 loose */
  uint8_t icmp_code; /* 3: code of the unreachable error for return-icmp, if bit 1 of fields is set */
  uint16_t fields; /* 4: bits: 1 icmp_code is set */
  uint16_t tag; /* 6: tag id from resolve, 0 leaves the packet's tag */
  uint16_t label; /* 8: label id from resolve, 0 none */
  uint16_t inspect; /* 10: for inspect: payload bytes wanted, at most 16384; 0 what the payload buffer takes */
  uint32_t first_s; /* 12: timeout after the first packet in seconds, 0 the gateway's */
  uint32_t opening_s; /* 16: timeout of a TCP handshake; of one-sided UDP and others */
  uint32_t established_s; /* 20: timeout of established TCP; of two-sided UDP and others */
  uint32_t closing_s; /* 24: timeout after the first FIN (TCP) */
  uint32_t finwait_s; /* 28: timeout after both FINs (TCP) */
  uint32_t closed_s; /* 32: timeout after a RST (TCP) */
  uint8_t reserved[28]; /* 36: zero */
} eg_verdict;
_Static_assert(sizeof(eg_verdict) == 64, "size of eg_verdict");
_Static_assert(__builtin_offsetof(eg_verdict, size) == 0, "eg_verdict.size");
_Static_assert(__builtin_offsetof(eg_verdict, keep) == 2, "eg_verdict.keep");
_Static_assert(__builtin_offsetof(eg_verdict, icmp_code) == 3, "eg_verdict.icmp_code");
_Static_assert(__builtin_offsetof(eg_verdict, fields) == 4, "eg_verdict.fields");
_Static_assert(__builtin_offsetof(eg_verdict, tag) == 6, "eg_verdict.tag");
_Static_assert(__builtin_offsetof(eg_verdict, label) == 8, "eg_verdict.label");
_Static_assert(__builtin_offsetof(eg_verdict, inspect) == 10, "eg_verdict.inspect");
_Static_assert(__builtin_offsetof(eg_verdict, first_s) == 12, "eg_verdict.first_s");
_Static_assert(__builtin_offsetof(eg_verdict, opening_s) == 16, "eg_verdict.opening_s");
_Static_assert(__builtin_offsetof(eg_verdict, established_s) == 20, "eg_verdict.established_s");
_Static_assert(__builtin_offsetof(eg_verdict, closing_s) == 24, "eg_verdict.closing_s");
_Static_assert(__builtin_offsetof(eg_verdict, finwait_s) == 28, "eg_verdict.finwait_s");
_Static_assert(__builtin_offsetof(eg_verdict, closed_s) == 32, "eg_verdict.closed_s");
_Static_assert(__builtin_offsetof(eg_verdict, reserved) == 36, "eg_verdict.reserved");

/* Where the gateway puts payload. */
typedef struct eg_payload {
  _Alignas(8) uint8_t *address; /* 0: where payload is to be written */
  uint32_t capacity; /* 4: bytes of room there, at least 1 */
} eg_payload;
_Static_assert(sizeof(eg_payload) == 8, "size of eg_payload");
_Static_assert(__builtin_offsetof(eg_payload, address) == 0, "eg_payload.address");
_Static_assert(__builtin_offsetof(eg_payload, capacity) == 4, "eg_payload.capacity");

/* What a guest is told about a state's end. */
typedef struct eg_state_end {
  _Alignas(8) uint16_t size; /* 0: size of this record: 96 */
  uint8_t af; /* 2: address family: 4 or 6 */
  uint8_t proto; /* 3: IP protocol */
  uint8_t cause; /* 4: 0 expired, 1 killed, 2 reopened, 3 blocked */
  uint8_t reserved[3]; /* 5: zero */
  uint8_t src[16]; /* 8: address of the end that sent the first packet */
  uint8_t dst[16]; /* 24: address of the other end */
  uint16_t sport; /* 40: port of src; id of an ICMP query */
  uint16_t dport; /* 42: port of dst, 0 where there is none */
  uint16_t in_if; /* 44: ingress interface id of the first packet */
  uint16_t out_if; /* 46: egress interface id of the first packet */
  uint16_t rule; /* 48: number of the rule that let it pass */
  uint16_t tag; /* 50: its tag, 0 none */
  uint16_t label; /* 52: its label, 0 none */
  uint8_t reserved2[2]; /* 54: zero */
  uint32_t duration_s; /* 56: seconds from its first to its last packet */
  uint8_t reserved3[4]; /* 60: zero */
  uint64_t packets; /* 64: packets from src that passed */
  uint64_t packets_back; /* 72: packets from dst that passed */
  uint64_t bytes; /* 80: bytes of packets, whole IP packets */
  uint64_t bytes_back; /* 88: bytes of packets_back */
} eg_state_end;
_Static_assert(sizeof(eg_state_end) == 96, "size of eg_state_end");
_Static_assert(__builtin_offsetof(eg_state_end, size) == 0, "eg_state_end.size");
_Static_assert(__builtin_offsetof(eg_state_end, af) == 2, "eg_state_end.af");
_Static_assert(__builtin_offsetof(eg_state_end, proto) == 3, "eg_state_end.proto");
_Static_assert(__builtin_offsetof(eg_state_end, cause) == 4, "eg_state_end.cause");
_Static_assert(__builtin_offsetof(eg_state_end, reserved) == 5, "eg_state_end.reserved");
_Static_assert(__builtin_offsetof(eg_state_end, src) == 8, "eg_state_end.src");
_Static_assert(__builtin_offsetof(eg_state_end, dst) == 24, "eg_state_end.dst");
_Static_assert(__builtin_offsetof(eg_state_end, sport) == 40, "eg_state_end.sport");
_Static_assert(__builtin_offsetof(eg_state_end, dport) == 42, "eg_state_end.dport");
_Static_assert(__builtin_offsetof(eg_state_end, in_if) == 44, "eg_state_end.in_if");
_Static_assert(__builtin_offsetof(eg_state_end, out_if) == 46, "eg_state_end.out_if");
_Static_assert(__builtin_offsetof(eg_state_end, rule) == 48, "eg_state_end.rule");
_Static_assert(__builtin_offsetof(eg_state_end, tag) == 50, "eg_state_end.tag");
_Static_assert(__builtin_offsetof(eg_state_end, label) == 52, "eg_state_end.label");
_Static_assert(__builtin_offsetof(eg_state_end, reserved2) == 54, "eg_state_end.reserved2");
_Static_assert(__builtin_offsetof(eg_state_end, duration_s) == 56, "eg_state_end.duration_s");
_Static_assert(__builtin_offsetof(eg_state_end, reserved3) == 60, "eg_state_end.reserved3");
_Static_assert(__builtin_offsetof(eg_state_end, packets) == 64, "eg_state_end.packets");
_Static_assert(__builtin_offsetof(eg_state_end, packets_back) == 72, "eg_state_end.packets_back");
_Static_assert(__builtin_offsetof(eg_state_end, bytes) == 80, "eg_state_end.bytes");
_Static_assert(__builtin_offsetof(eg_state_end, bytes_back) == 88, "eg_state_end.bytes_back");

/* What the gateway offers. Pointers are addresses in the guest's memory. */
/* id of a name, -1 if there is none or no room; only within init */
EG_IMPORT(resolve) extern int32_t eg_resolve(int32_t kind, const void *name, int32_t name_len);
/* the index-th integer (or boolean, 0 and 1) of a setting, INT64_MIN if absent */
EG_IMPORT(config_int) extern int64_t eg_config_int(const void *key, int32_t key_len, int32_t index);
/* length of the index-th string of a setting, -1 if absent; copied only if it fits */
EG_IMPORT(config_str) extern int32_t eg_config_str(const void *key, int32_t key_len, int32_t index, void *out, int32_t out_cap);
/* 1 if the 16-byte address is in the table, else 0 */
EG_IMPORT(table_match) extern int32_t eg_table_match(int32_t table, const void *address);
/* adds n to a counter */
EG_IMPORT(count) extern void eg_count(int32_t counter, int64_t n);
/* takes a token from the key's bucket (rate in 1/1000 per second): 1 taken, 0 empty */
EG_IMPORT(meter) extern int32_t eg_meter(int32_t meter, const void *key, int32_t key_len, int32_t rate_milli, int32_t burst);
/* writes a line to the gateway's log: 0 error, 1 warn, 2 info, 3 debug; rate-limited */
EG_IMPORT(log) extern void eg_log(int32_t level, const void *text, int32_t text_len);
/* 0: monotonic nanoseconds, 1: seconds since 1970, of the packet's arrival */
EG_IMPORT(clock) extern int64_t eg_clock(int32_t kind);
/* 64 random bits, not for cryptography */
EG_IMPORT(random) extern int64_t eg_random(void);

/* Puts a verdict word together; record may be 0. */
static inline int64_t eg_word(uint32_t action, uint32_t flags, uint32_t rule,
                              const eg_verdict *record) {
  return (int64_t)((uint64_t)(action & 0xff) | (uint64_t)(flags & 0xff) << 8 |
                   (uint64_t)(rule & 0xffff) << 16 | (uint64_t)(uint32_t)(uintptr_t)record << 32);
}

#endif
