/* dns-labels: refuses DNS queries for names with a listed label, whatever is around it. It looks
 * into what goes to port 53, over UDP and TCP; over TCP into the first query.
 *
 *   setting   default   meaning
 *   labels    none      up to 8 labels: ["ads", "tracker"]
 *
 *   rule 1: a listed label    rule 2: not a query of one name
 *
 * Both count in "blocked" and are logged.
 */
#include "policy.h"

#define HEADER 12
#define NAME_MAX 254 /* RFC 1035 2.3.4; the root's byte is not counted. */
#define LABEL_MAX 63
#define LABELS_MAX 8
#define NAME_LABELS_MAX 40 /* So that the work is bounded; a name of ip6.arpa has 34. */

static eg_text labels[LABELS_MAX]; /* In small letters. */
static size_t label_count;
static eg_counter blocked;

static uint8_t lower(uint8_t c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; }

static bool setup(void) {
  eg_text label;
  int64_t n;
  for (; eg_string("labels", (int32_t)label_count, &label); label_count++) {
    if (!label.length || label.length > LABEL_MAX)
      return eg_bad("labels", "`: a label has 1 to 63 bytes");
    for (size_t i = 0; i < label.length; i++) {
      if (label.bytes[i] == '.') return eg_bad("labels", "`: a label has no dot");
      label.bytes[i] = (char)lower((uint8_t)label.bytes[i]);
    }
    if (label_count == LABELS_MAX) return eg_bad("labels", "` has more than 8 entries");
    labels[label_count] = label;
  }
  if (eg_int("labels", (int32_t)label_count, &n)) return eg_bad("labels", "` has to hold texts");
  eg_find_counter(&blocked, "blocked");
  return true;
}

static eg_decision decide(const eg_packet *packet) {
  bool is_dns = (eg_is_udp(packet) || eg_is_tcp(packet)) && packet->dport == 53;
  return is_dns ? EG_LOOK : EG_GO_ON;
}

static bool is_listed(const uint8_t *label, size_t length) {
  for (size_t n = 0; n < label_count; n++) {
    size_t i = 0;
    if (labels[n].length != length) continue;
    while (i < length && lower(label[i]) == (uint8_t)labels[n].bytes[i]) i++;
    if (i == length) return true;
  }
  return false;
}

enum { CLEAN, LISTED, NO_QUERY };

/* Tells about the name that a query asks for (RFC 1035 4.1). */
static int look(const uint8_t *message, size_t length) {
  if (length < HEADER || message[2] & 0x80 || message[4] != 0 || message[5] != 1) return NO_QUERY;
  int found = CLEAN;
  size_t at = HEADER;
  for (int n = 0; n <= NAME_LABELS_MAX && at < length; n++) {
    size_t label = message[at++];
    /* Behind the root, type and class follow. */
    if (!label) return length - at >= 4 ? found : NO_QUERY;
    if (label > LABEL_MAX || length - at < label) return NO_QUERY;
    if (found == CLEAN && is_listed(message + at, label)) found = LISTED;
    at += label;
    if (at - HEADER > NAME_MAX) return NO_QUERY;
  }
  return NO_QUERY;
}

static eg_decision inspect(const eg_packet *packet, const uint8_t *payload, size_t length) {
  if (eg_is_tcp(packet)) {
    /* Behind its length (RFC 1035 4.2.2). */
    size_t size = length < 2 ? 0 : (size_t)payload[0] << 8 | payload[1];
    if (length < 2 || length - 2 < size) {
      if (!eg_payload_ends(packet)) return EG_LOOK;
      size = 0;
    }
    payload += 2;
    length = size;
  }
  int found = look(payload, length);
  if (found == CLEAN) return (eg_decision){.action = EG_CONTINUE, .each = true};
  eg_add(blocked, 1);
  eg_decision decision = eg_refuse(packet);
  decision.rule = found == LISTED ? 1 : 2;
  decision.log = true;
  return decision;
}

EG_POLICY_INSPECT(setup, decide, inspect, 1024)
