/* rate-limit: blocks what one source begins faster than it may. A source is an IPv4 address or an
 * IPv6 /64: one household, whatever address it picks today.
 *
 *   setting   default    meaning
 *   per_s     10         new connections per second and source, 1 to 1000000
 *   burst     as per_s   how many may come at once, 1 to 1000000
 *
 *   rule 1: over the rate
 *
 * What is blocked counts in "limited". Packets from the gateway itself are not limited.
 */
#include "policy.h"

#define MAX 1000000

static eg_meter_set sources;
static eg_counter limited;
static int64_t per_s = 10, burst;

static bool setup(void) {
  if (!eg_number("per_s", 1, MAX, &per_s)) return false;
  burst = per_s;
  if (!eg_number("burst", 1, MAX, &burst)) return false;
  eg_find_counter(&limited, "limited");
  return eg_find_meter(&sources, "sources") || eg_fail("there is no room for a meter", "", "");
}

static eg_decision decide(const eg_packet *packet) {
  if (packet->direction == EG_FROM_GATEWAY) return EG_GO_ON;
  const uint8_t *key = eg_is_v4(packet) ? packet->src + 12 : packet->src;
  size_t length = eg_is_v4(packet) ? 4 : 8;
  if (eg_take(sources, key, length, (uint32_t)per_s * 1000, (uint32_t)burst)) return EG_GO_ON;
  eg_add(limited, 1);
  return (eg_decision){.action = EG_BLOCK, .rule = 1};
}

EG_POLICY(setup, decide)
